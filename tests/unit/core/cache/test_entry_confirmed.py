"""An entry and what is known of its key without a body: the same, renewed, or not to be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cache.entry import Confirmation, Entry, Floor, Ticket
from tests.doubles.stored import entry_of, version

ENTRY = entry_of(Ticket("e", 3, 100.0))
GONE = entry_of(Ticket("e", 3, 100.0), None)


def floor_of(entry: Entry, started: float = 100.0) -> Floor:
    """The floor under which it was stored."""
    return Floor("e", 3, entry.updated_at, entry.digest, started)


def later(entry: Entry) -> Entry:
    """The same body as an answer of a minute later brought it."""
    return entry.but(
        headers=((b"x-cluster", b"eu-2"),),
        date="Tue, 14 Nov 2023 22:14:20 GMT",
        confirmed_at=160.0,
        initial_age=4.0,
        freshness_lifetime=27.5,
    )


@pytest.mark.parametrize("entry", [ENTRY, GONE])
def test_what_made_the_entry_agrees_with_it(entry: Entry) -> None:
    """There is nothing to renew; nor where what came beside the body is not kept."""
    floor = floor_of(entry)

    assert entry.confirmed_by(floor, Confirmation.of(entry)) is entry
    assert entry.confirmed_by(floor, None) is entry


@pytest.mark.parametrize("entry", [ENTRY, GONE, GONE.but(status=410)])
def test_a_later_answer_with_the_same_body_renews(entry: Entry) -> None:
    """With all that it brought: no field is left from the earlier one."""
    renewed = later(entry)

    confirmed = entry.confirmed_by(floor_of(entry, 160.0), Confirmation.of(renewed))

    assert confirmed == renewed
    assert confirmed is not None
    assert confirmed.body is entry.body


@pytest.mark.parametrize("last", [GONE, later(GONE)], ids=["earlier", "later"])
def test_what_a_later_fetch_rules_out_is_not_confirmed(last: Entry) -> None:
    """It brought the same bytes, perhaps as another kind of answer."""
    floor = floor_of(GONE, 170.0)

    assert later(GONE).confirmed_by(floor, Confirmation.of(last)) is None
    assert GONE.confirmed_by(floor, Confirmation.of(last)) is None


def test_an_earlier_answer_takes_nothing_back() -> None:
    """What L1 holds was confirmed later than what Redis kept."""
    renewed = later(ENTRY)

    assert renewed.confirmed_by(floor_of(ENTRY, 160.0), Confirmation.of(ENTRY)) is renewed


def test_the_floors_time_alone_renews_nothing() -> None:
    """It may be that of a later fetch which brought an older version."""
    confirmed = ENTRY.confirmed_by(floor_of(ENTRY, 160.0), Confirmation.of(ENTRY))

    assert confirmed is ENTRY


def test_without_what_came_beside_a_later_time_says_look() -> None:
    """A later answer confirmed it, and only its body has the rest."""
    assert ENTRY.confirmed_by(floor_of(ENTRY, 160.0), None) is None


@pytest.mark.parametrize("entry", [ENTRY, GONE])
@pytest.mark.parametrize(
    "change",
    [
        lambda floor: replace(floor, epoch="other"),
        lambda floor: replace(floor, generation=4),
        lambda floor: replace(floor, generation=2),
        lambda floor: replace(floor, digest="0" * 32),
        lambda floor: replace(floor, digest="0" * 32, updated_at=version(1)),
        lambda floor: replace(floor, digest="", updated_at=version(1)),
    ],
)
def test_another_life_or_body_is_to_be_looked_at(
    entry: Entry, change: Callable[[Floor], Floor]
) -> None:
    """A flush, an invalidation, a version that is known without a body, another body."""
    floor = change(floor_of(entry, 160.0))

    assert entry.confirmed_by(floor, Confirmation.of(later(entry))) is None


def test_the_same_bytes_of_another_version_are_to_be_looked_at() -> None:
    """Whatever brought them, they are below the floor."""
    floor = replace(floor_of(ENTRY, 160.0), updated_at=version(1))

    assert ENTRY.confirmed_by(floor, Confirmation.of(later(ENTRY))) is None
    assert ENTRY.confirmed_by(replace(floor, started=100.0), None) is None


@pytest.mark.parametrize(("entry", "status"), [(ENTRY, 404), (GONE, 200), (GONE, 410)])
def test_the_same_bytes_with_another_status_are_to_be_looked_at(entry: Entry, status: int) -> None:
    """A 404 is not renewed by a training, nor the other way round."""
    last = Confirmation.of(later(entry).but(status=status))

    assert entry.confirmed_by(floor_of(entry, 160.0), last) is None


@given(st.integers(0, 5).filter(lambda generation: generation != 3))
def test_an_answer_of_another_generation_renews_nothing(generation: int) -> None:
    """It vouched for the body before an invalidation, or after one that we have not seen."""
    last = Confirmation.of(later(ENTRY).but(generation=generation))

    assert ENTRY.confirmed_by(floor_of(ENTRY, 160.0), last) is None
    assert ENTRY.confirmed_by(floor_of(ENTRY, 100.0), last) is ENTRY


def test_an_answer_with_vary_renews_no_entry_without() -> None:
    """The upstream has begun to send it: the entry would be given to all requests."""
    last = later(ENTRY).but(headers=(*ENTRY.headers, (b"vary", b"Foo")))

    assert ENTRY.confirmed_by(floor_of(ENTRY, 160.0), Confirmation.of(last)) is None
