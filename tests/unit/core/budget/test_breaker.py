"""Pacing: back-off, breaker and gate against slow obvious models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budget.breaker import (
    FIRST_HOLD,
    LAST_HOLD,
    LONGEST_HOLD,
    SHORTEST_HOLD,
    Breaker,
    BreakerRule,
    Gate,
    backoff,
)
from gateway.core.vocabulary import Circuit

RULE = BreakerRule(threshold=3, base=1.0, cap=8.0, patience=10.0)
PATIENCE = 10.0

jitters = st.floats(0, 1, exclude_max=True)
# Quarters are exact in binary: models may compare without a tolerance.
steps = st.integers(0, 40).map(lambda quarters: quarters / 4)


def opened(now: float = 0.0) -> Breaker:
    """A breaker that failures have just opened, for RULE.base seconds."""
    breaker = Breaker()
    for _ in range(RULE.threshold):
        breaker = breaker.record_failure(RULE, now, jitter=0.0)
    return breaker


def probed(breaker: Breaker, now: float) -> Breaker:
    """The breaker with a probe under way since `now`."""
    probing = breaker.try_call(RULE, now)
    assert probing is not None
    return probing


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


def test_a_breaker_opens_at_its_threshold() -> None:
    """One failure less than the threshold leaves it closed."""
    breaker = Breaker().record_failure(RULE, 0.0, 0.0).record_failure(RULE, 0.0, 0.0)
    assert breaker.circuit is Circuit.CLOSED
    assert breaker.try_call(RULE, 0.0) == breaker
    assert breaker.record_failure(RULE, 0.0, 0.0).circuit is Circuit.OPEN


def test_a_success_starts_the_count_again() -> None:
    """Only failures in a row count."""
    breaker = Breaker().record_failure(RULE, 0.0, 0.0).record_failure(RULE, 0.0, 0.0)
    assert breaker.record_success().record_failure(RULE, 0.0, 0.0).circuit is Circuit.CLOSED


def test_an_open_breaker_refuses_until_its_time() -> None:
    """Nothing goes before the time, and it says how long that is."""
    breaker = opened()
    assert breaker.try_call(RULE, 0.75) is None
    assert breaker.wait(0.75) == 0.25
    assert breaker.wait(2.0) == 0.0
    assert Breaker().wait(0.0) == 0.0


def test_one_probe_at_a_time() -> None:
    """While the probe is under way nobody else calls."""
    breaker = probed(opened(), 1.0)
    assert breaker.circuit is Circuit.HALF_OPEN
    assert breaker.try_call(RULE, 2.0) is None


def test_a_probe_that_succeeds_closes_it() -> None:
    """After it, everything is as at the start."""
    assert probed(opened(), 1.0).record_success() == Breaker()


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    """One failed probe is enough, whatever the threshold, and the wait doubles."""
    breaker = probed(opened(), 1.0).record_failure(RULE, 2.0, jitter=0.0)
    assert breaker.circuit is Circuit.OPEN
    assert breaker.wait(2.0) == 2.0


def test_a_probe_that_is_lost_gives_way() -> None:
    """A probe cancelled without a word does not keep it open for ever."""
    breaker = probed(opened(), 1.0)
    assert breaker.try_call(RULE, 1.0 + RULE.patience) is not None


def test_what_ends_late_changes_nothing() -> None:
    """Calls sent before it opened neither close it nor put the time off."""
    breaker = opened()
    assert breaker.record_success() == breaker
    assert breaker.record_failure(RULE, 0.5, jitter=0.0) == breaker


def test_a_threshold_of_one_opens_at_once() -> None:
    """The first failure opens it, as Redis' breaker wants it."""
    rule = BreakerRule(threshold=1, base=1.0, cap=1.0, patience=1.0)
    assert Breaker().record_failure(rule, 0.0, 0.0).circuit is Circuit.OPEN


@given(st.lists(st.tuples(steps, st.sampled_from(["call", "success", "failure"]))))
def test_an_open_breaker_lets_through_one_call_a_patience(events: list[tuple[float, str]]) -> None:
    """Once open, calls are never less than the shorter of back-off and patience apart."""
    breaker, now, last = Breaker(), 0.0, float("-inf")
    for step, event in events:
        now += step
        was_closed = breaker.circuit is Circuit.CLOSED
        if event == "call":
            after = breaker.try_call(RULE, now)
            if after is not None and not was_closed:
                assert now - last >= min(RULE.base, RULE.patience)
                last = now
            breaker = after or breaker
        elif event == "success":
            breaker = breaker.record_success()
            last = float("-inf") if breaker == Breaker() else last
        else:
            breaker = breaker.record_failure(RULE, now, jitter=0.0)


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
