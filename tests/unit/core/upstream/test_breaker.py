"""Pacing: back-off, breaker and gate against slow obvious models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import CircuitOpen
from gateway.core.upstream.breaker import (
    FIRST_HOLD,
    LAST_HOLD,
    LONGEST_HOLD,
    SHORTEST_HOLD,
    Breaker,
    Gate,
    backoff,
)
from gateway.core.vocabulary import Circuit

PATIENCE = 10.0

jitters = st.floats(0, 1, exclude_max=True)
# Quarters are exact in binary: models may compare without a tolerance.
steps = st.integers(0, 40).map(lambda quarters: quarters / 4)


def named(training_id: str) -> tuple[str, str]:
    """A training of the only partition."""
    return "partition", training_id


def fail(breaker: Breaker, names: str, now: float = 0.0, *, sent: bool = True) -> None:
    """A call for each of these trainings fails."""
    for each in names:
        breaker.failed(named(each), now, sent=sent)


def wait(breaker: Breaker, name: str, now: float) -> float:
    """For how long a call for this training is refused; 0.0: it may be made."""
    try:
        breaker.enter(named(name), now)
    except CircuitOpen as error:
        return error.retry_after
    return 0.0


def is_allowed(breaker: Breaker, name: str, now: float = 0.0) -> bool:
    """Whether a call for this training may be made."""
    return wait(breaker, name, now) == 0.0


def opened() -> Breaker:
    """A breaker that failures have just opened, for a second."""
    breaker = Breaker(lambda: 0.0)
    fail(breaker, "abcde")
    return breaker


# Back-off


@given(st.integers(-5, 10_000), st.floats(0.01, 10), st.floats(10, 1000), jitters)
def test_backoff_stays_within_its_bounds(
    attempt: int, base: float, cap: float, jitter: float
) -> None:
    """It is at least half the base and never more than the cap, however many attempts."""
    assert base / 2 <= backoff(attempt, base, cap, jitter) <= cap


def test_backoff_doubles_up_to_its_cap() -> None:
    """Each failure doubles the wait until the cap."""
    waits = [backoff(attempt, 1.0, 5.0, jitter=0.0) for attempt in range(1, 6)]
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_backoff_is_spread_by_jitter() -> None:
    """Jitter takes away up to half."""
    assert backoff(1, 4.0, 60.0, jitter=0.5) == 3.0


# Breaker


def test_failures_of_five_trainings_open_the_breaker() -> None:
    """Those of four do not, however many they are, and a success begins the count anew."""
    breaker = Breaker(lambda: 0.0)
    for _ in range(2):
        fail(breaker, "abcd" * 10)
        assert is_allowed(breaker, "a")
        breaker.succeeded()
    fail(breaker, "abcde")

    assert breaker.circuit(0.0) is Circuit.OPEN
    assert wait(breaker, "z", 0.75) == 0.25


def test_calls_that_are_not_sent_open_it_whatever_they_are_for() -> None:
    """The upstream cannot be reached."""
    breaker = Breaker(lambda: 0.0)
    fail(breaker, "aaaaa", sent=False)

    assert not is_allowed(breaker, "z")


def test_one_probe_after_each_pause() -> None:
    """Whatever becomes of the probes, the pauses double, up to 30 s."""
    breaker, now, pauses = opened(), 1.0, []
    for name in "tuvwxyz":
        assert breaker.circuit(now) is Circuit.HALF_OPEN
        assert is_allowed(breaker, name, now)
        pauses.append(wait(breaker, "other", now))
        now += pauses[-1]

    assert pauses == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_success_closes_it() -> None:
    """After it, everything is as at the start."""
    breaker = opened()
    assert is_allowed(breaker, "z", 1.0)
    breaker.succeeded()
    fail(breaker, "abcd", 1.0)

    assert is_allowed(breaker, "a", 1.0)


def test_a_probe_that_says_nothing_gives_way() -> None:
    """The next call is the probe. A call from before it opened is none."""
    breaker = opened()
    probe = breaker.enter(named("z"), 1.0)
    breaker.leave(None, 1.5)
    assert not is_allowed(breaker, "y", 1.5)

    breaker.leave(probe, 1.5)

    assert is_allowed(breaker, "y", 1.5)


def test_trainings_that_failed_come_last() -> None:
    """Two bad trainings are asked for ten times a second, a good one each seven seconds. The good
    one gets its call when one more pause is over, although each probe before failed."""
    breaker = opened()
    for tick in range(3_000):
        for bad in "ab":
            if is_allowed(breaker, bad, tick / 10):
                fail(breaker, bad, tick / 10)

    waits = [wait(breaker, "good", 300.0 + seconds) for seconds in range(0, 70, 7)]

    assert 0.0 in waits[:9]


def test_a_training_that_is_alone_probes_at_twice_the_pause() -> None:
    """It waits for others, but not for ever."""
    breaker = opened()

    assert wait(breaker, "a", 0.0) == 2.0
    assert is_allowed(breaker, "a", 2.0)


def test_a_breaker_that_no_call_needs_is_not_shown() -> None:
    """After a minute. Its next call is the probe all the same."""
    breaker = opened()
    assert breaker.circuit(61.0) is Circuit.HALF_OPEN
    assert breaker.circuit(61.5) is Circuit.CLOSED
    assert is_allowed(breaker, "z", 61.5)
    assert breaker.circuit(61.5) is Circuit.OPEN


# Gate


def test_an_open_gate_needs_no_probe() -> None:
    """At the start everything passes."""
    assert Gate().is_open
    assert Gate().wait(0.0) == 0.0
    assert Gate().try_probe(0.0, PATIENCE) is None


@pytest.mark.parametrize(
    ("retry_after", "held"),
    [(17.0, 17.0), (0.0, SHORTEST_HOLD), (-3.0, SHORTEST_HOLD), (1e9, LONGEST_HOLD)],
)
def test_a_gate_stays_closed_as_long_as_upstream_says(retry_after: float, held: float) -> None:
    """Within a second and an hour, upstream's word counts."""
    gate = Gate().close(100.0, retry_after, jitter=0.0)
    assert not gate.is_open
    assert gate.wait(100.0) == held


def test_a_gate_holds_longer_each_time_it_is_told_nothing() -> None:
    """Without a hint the hold doubles with each refused probe, up to a bound."""
    gate, now, holds = Gate(), 0.0, []
    for _ in range(6):
        gate = gate.close(now, None, jitter=0.0)
        holds.append(gate.wait(now))
        now += gate.wait(now)
        gate = gate.try_probe(now, PATIENCE) or gate
    assert holds == [FIRST_HOLD, 60.0, 120.0, 240.0, LAST_HOLD, LAST_HOLD]


@given(st.floats(-1e6, 1e6) | st.none(), jitters)
def test_a_gate_never_opens_before_its_time(retry_after: float | None, jitter: float) -> None:
    """Jitter only adds, at most a tenth, and the bounds hold with it."""
    wanted = FIRST_HOLD if retry_after is None else retry_after
    held = Gate().close(0.0, retry_after, jitter).wait(0.0)
    assert SHORTEST_HOLD <= held <= LONGEST_HOLD
    assert held >= min(wanted, LONGEST_HOLD)


def test_a_straggler_only_puts_the_time_off() -> None:
    """A 429 of a call sent before it closed does not shorten the hold, nor count again."""
    gate = Gate().close(0.0, 60.0, jitter=0.0).close(1.0, 5.0, jitter=0.0)
    assert gate == Gate(60.0, refusals=1)
    assert gate.close(1.0, 90.0, jitter=0.0) == Gate(91.0, refusals=1)


def test_a_probe_reopens_it() -> None:
    """A probe that is answered otherwise than 429 lets everybody through."""
    gate = Gate().close(0.0, 5.0, jitter=0.0)
    probing = gate.try_probe(5.0, PATIENCE)
    assert gate.try_probe(4.75, PATIENCE) is None
    assert probing is not None
    assert probing.reopen(6.0) == Gate()


def test_a_late_success_does_not_reopen_it() -> None:
    """An answer to a call sent before the 429 says nothing about now."""
    gate = Gate().close(0.0, 5.0, jitter=0.0)
    assert gate.reopen(4.75) == gate
    assert Gate().reopen(4.75) == Gate()


def test_an_answer_after_its_time_reopens_it_without_a_probe() -> None:
    """It need not linger until somebody probes."""
    assert Gate().close(0.0, 5.0, jitter=0.0).reopen(5.0) == Gate()


def test_a_probe_that_never_left_makes_way_for_the_next() -> None:
    """At once; and what is taken back without being the probe changes nothing."""
    probing = Gate().close(0.0, 5.0, jitter=0.0).try_probe(6.0, PATIENCE)
    assert probing is not None

    back = probing.take_back(6.0)

    assert back.try_probe(6.0, PATIENCE) == probing
    assert probing.take_back(5.0) == probing


@given(st.lists(st.tuples(steps, st.sampled_from(["probe", "probe", "refused", "answered"]))))
def test_a_gate_never_lets_through_two_probes(events: list[tuple[float, str]]) -> None:
    """From one probe to its verdict, or to the end of patience, there is no second."""
    gate, now, probe_sent = Gate().close(0.0, 1.0, jitter=0.0), 0.0, None
    for step, event in events:
        now += step
        if event == "probe":
            probing = gate.try_probe(now, PATIENCE)
            if probing is not None:
                assert probe_sent is None or now - probe_sent >= PATIENCE
                gate, probe_sent = probing, now
        elif event == "refused":
            gate, probe_sent = gate.close(now, 2.0, jitter=0.0), None
        elif probe_sent is not None:
            gate, probe_sent = gate.reopen(now), None
            assert gate.is_open
