"""Skew: clocks of several nodes, read as one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.redis.connect.clock_offsets import (
    STEP,
    of_entry,
    of_floor,
    of_found,
    of_standing,
    settled,
)
from gateway.adapters.redis.records import micros
from gateway.core.cache.entry import Confirmation, Entry, Floor, Ticket
from gateway.ports import Found, Standing
from tests.doubles.stored import entry_of

# Times of this century's next decades, as Redis' clock tells them.
microseconds = st.integers(1_600_000_000_000_000, 2_100_000_000_000_000)
FLOOR = Floor("00c0ffee00c0ffee", 3, None, "", 1_700_000_000.5)


def entry_at(seconds: float) -> Entry:
    """Confirmed then."""
    return entry_of(Ticket("00c0ffee00c0ffee", 3, seconds))


@pytest.mark.parametrize(
    ("known", "ahead", "error", "skew"),
    [
        (0.0, 0.03, 0.001, 0.0),
        (0.0, 0.2, 0.15, 0.0),
        (0.0, 0.2, 0.001, 0.1875),
        (300.0, 300.04, 0.0, 300.0),
        (300.0, -7.01, 0.001, -7.0),
    ],
)
def test_it_moves_only_where_it_has_to(
    known: float, ahead: float, error: float, skew: float
) -> None:
    """Clocks that keep time are one; what a sample cannot tell changes nothing."""
    assert settled(known, ahead, error) == skew


@given(stamp=microseconds, ahead=st.floats(-1e6, 1e6))
def test_to_and_fro_is_exact(stamp: int, ahead: float) -> None:
    """What is compared in Redis comes back as it left, to the microsecond."""
    skew = settled(0.0, ahead, 0.0)
    entry = entry_at(stamp / 1_000_000)

    there = of_entry(entry, skew)

    assert micros(of_entry(there, -skew).confirmed_at) == f"{stamp:016d}"


def test_all_times_of_what_is_found_move() -> None:
    """A floor that knows no fetch has no time; without a skew nothing is made anew."""
    entry = entry_at(1_700_000_001.0)
    found = Found(entry, FLOOR, 5.0)

    moved = of_found(found, 2 * STEP)

    assert moved.entry == entry.but(confirmed_at=entry.confirmed_at - 0.125)
    assert moved.floor == replace(FLOOR, started=FLOOR.started - 0.125)
    assert moved.struck_at == 4.875
    assert of_found(found, 0.0) is found
    assert of_found(Found(None, None), 1.0) == Found(None, None)
    assert of_floor(replace(FLOOR, started=0.0), 1.0) == replace(FLOOR, started=0.0)


def test_all_times_of_a_standing_move() -> None:
    """Also of what came beside the body, once it is read."""
    last = Confirmation.of(entry_at(1_700_000_001.0))
    standing = Standing(FLOOR, lambda: last)

    moved = of_standing(standing, STEP)

    assert moved is not None
    assert moved.floor.started == FLOOR.started - STEP
    assert moved.last() == replace(last, confirmed_at=last.confirmed_at - STEP)
    nothing = of_standing(Standing(FLOOR, lambda: None), STEP)
    assert nothing is not None
    assert nothing.last() is None
    assert of_standing(None, STEP) is None
    assert of_standing(standing, 0.0) is standing
