"""Guesses: a caller that asks for ids that do not exist comes last, and no other caller does."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from gateway.core.budget.window_log import OwnRates, Rate
from gateway.core.cache.entry import Key
from gateway.core.errors import BudgetExhausted
from gateway.flow.budget.call_permits import Guesses
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, Replica, says

SCOPE = "default"


def guesses(clock: FakeClock, limit: int | None = 100) -> Guesses:
    """For a limit a minute."""
    rate = None if limit is None else Rate(limit, 60.0)
    return Guesses(clock, rate, OwnRates())


def miss(guessing: Guesses, who: str, *, in_vain: bool) -> None:
    """One miss and its end."""
    with guessing.asking(who):
        guessing.ended(who, in_vain=in_vain)


def test_who_mostly_asks_in_vain_is_a_guesser(clock: FakeClock) -> None:
    """By its last misses alone, and of that caller alone."""
    guessing = guesses(clock)
    for _ in range(2):
        miss(guessing, "a", in_vain=True)
    told = [guessing.is_guesser("a", SCOPE)]
    miss(guessing, "a", in_vain=True)
    told.append(guessing.is_guesser("a", SCOPE))
    for _ in range(4):
        miss(guessing, "a", in_vain=False)
    told.append(guessing.is_guesser("a", SCOPE))

    assert told == [False, True, False]
    assert not guessing.is_guesser("b", SCOPE)


def test_a_guesser_is_forgotten_in_time(clock: FakeClock) -> None:
    """Ten windows later."""
    guessing = guesses(clock)
    for _ in range(5):
        miss(guessing, "a", in_vain=True)

    clock.advance(599.0)
    assert guessing.is_guesser("a", SCOPE)
    clock.advance(2.0)
    assert not guessing.is_guesser("a", SCOPE)


def test_so_does_a_flood(clock: FakeClock) -> None:
    """Nobody knows yet whether it is in vain; the others cannot wait until one does."""
    guessing = guesses(clock)
    with ExitStack() as flood:
        for _ in range(25):
            flood.enter_context(guessing.asking("a"))
        assert guessing.is_guesser("a", SCOPE)
        assert not guessing.is_guesser("b", SCOPE)

    assert not guessing.is_guesser("a", SCOPE)


def test_without_a_limit_nobody_is_suspected(clock: FakeClock) -> None:
    """There is nothing to spend."""
    guessing = guesses(clock, None)
    for _ in range(100):
        miss(guessing, "a", in_vain=True)
    assert not guessing.is_guesser("a", SCOPE)


def test_only_so_many_callers_are_remembered(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest."""
    monkeypatch.setattr("gateway.flow.budget.call_permits._MOST_CALLERS", 2)
    guessing = guesses(clock, 10)
    for who in ("a", "b", "c"):
        for _ in range(3):
            miss(guessing, who, in_vain=True)

    assert [guessing.is_guesser(who, SCOPE) for who in "abc"] == [False, True, True]


async def test_a_guesser_leaves_the_others_their_calls(clock: FakeClock) -> None:
    """A quarter of the limit is the most that it has; what it asks for is then refused."""
    replica = Replica(clock, limit=40, caller=OURS)
    refused = 0
    for number in range(60):
        replica.upstream.then(says(404))
        try:
            await replica.get(Key("p1", f"guess_{number}"))
        except BudgetExhausted:
            refused += 1
    calls = replica.upstream.count

    assert calls == 3 + 10
    assert refused == 60 - calls
