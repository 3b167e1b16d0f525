"""The window: the limit against a slow obvious model, and the floors of the ranks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budget.priority import RANKS, Rank
from gateway.core.budget.window_log import Past, WindowLog

# Quarters are exact in binary: models may compare without a tolerance.
steps = st.integers(0, 40).map(lambda quarters: quarters / 4)


class SlowWindow:
    """The obvious model: keeps every call for ever and counts those of the last window."""

    def __init__(self, limit: int, window: float) -> None:
        self.limit = limit
        self.window = window
        self.calls: list[float] = []

    def count(self, now: float) -> int:
        """Calls in (now - window, now]."""
        return sum(now - self.window < call <= now for call in self.calls)


@given(st.integers(1, 6), st.lists(st.tuples(steps, st.booleans())))
def test_a_window_grants_what_the_slow_model_grants(
    limit: int, events: list[tuple[float, bool]]
) -> None:
    """Neither a call too many nor one too few, with calls given back in between."""
    log, model, now = WindowLog(limit, 10.0), SlowWindow(limit, 10.0), 0.0
    for step, returned in events:
        now += step
        room = model.limit - model.count(now)
        assert log.available(now) == room
        granted = log.try_take(now) == 0.0
        assert granted == (room > 0)
        if granted and returned:
            log.give_back(now)
        elif granted:
            model.calls.append(now)


@given(
    st.integers(1, 20),
    st.floats(0.1, 100),
    st.floats(0, 1e9),
    st.lists(st.floats(0, 30), max_size=60),
)
def test_no_window_holds_more_than_the_limit(
    limit: int, window: float, start: float, gaps: list[float]
) -> None:
    """Whenever callers come, no window that begins at a call holds more than the limit."""
    log, now, granted = WindowLog(limit, window), start, []
    for gap in gaps:
        now += gap
        if log.try_take(now) == 0.0:
            granted.append(now)
    for first in granted:
        assert sum(first <= call < first + window for call in granted) <= limit


def test_a_refusal_says_when() -> None:
    """The wait it names is as long as needed and no longer."""
    log = WindowLog(2, 60.0)
    assert [log.try_take(0.0), log.try_take(15.0)] == [0.0, 0.0]
    assert log.try_take(20.0) == 40.0
    assert log.try_take(59.75) == 0.25
    assert log.try_take(60.0) == 0.0
    assert log.try_take(60.0) == 15.0


def test_giving_back_what_is_no_longer_known_does_nothing() -> None:
    """A stamp that has lapsed, or never was, frees nothing."""
    log = WindowLog(2, 60.0)
    log.try_take(10.0)
    log.give_back(9.0)
    log.give_back(11.0)
    assert log.available(10.0) == 1


def test_an_unknown_past_starts_paced() -> None:
    """The first call goes at once, the next ones at the mean rate, never a burst."""
    log, now, granted = WindowLog.paced(4, 60.0, now=1000.0), 1000.0, []
    for _ in range(6):
        while wait := log.try_take(now):
            now += wait
        granted.append(now)
    assert granted == [1000.0, 1015.0, 1030.0, 1045.0, 1060.0, 1075.0]


@pytest.mark.parametrize(("free", "available"), [(0, 0), (1, 1), (3, 3), (4, 4), (9, 4)])
def test_how_many_may_go_at_once_is_a_parameter(free: int, available: int) -> None:
    """With `free` calls at once, the others still come at the mean rate."""
    log = WindowLog.paced(4, 60.0, now=1000.0, free=free)
    assert log.available(1000.0) == available
    assert log.available(1015.0) == min(4, available + 1)


@pytest.mark.parametrize(
    ("limit", "window"), [(0, 60.0), (-1, 60.0), (1, 0.0), (1, -1.0), (1, float("nan"))]
)
def test_a_pace_that_is_none_is_refused(limit: int, window: float) -> None:
    """No calls at all, or no time, is a mistake of ours."""
    with pytest.raises(ValueError, match="cannot have a limit"):
        WindowLog(limit, window)


def test_a_log_follows_another() -> None:
    """Under the other limit what was sent before still counts, until its window has passed."""
    before, after = WindowLog(3, 60.0), WindowLog(4, 60.0)
    for now in (0.0, 1.0, 2.0):
        before.try_take(now)

    after.follow(before)

    assert [after.try_take(3.0), after.try_take(3.0)] == [0.0, 57.0]
    assert before.available(3.0) == 0


def fill(log: WindowLog, rank: Rank, now: float = 0.0) -> int:
    """How many calls of the rank go at once."""
    count = 0
    while log.try_take(now, rank) == 0.0:
        count += 1
    return count


def test_callers_find_their_floor_whatever_was_refreshed() -> None:
    """Calls that nobody waits for leave a fifth to those who do."""
    log = WindowLog(100, 60.0)
    assert fill(log, Rank.REFRESH) == 80
    assert fill(log, Rank.CALLER) == 20


def test_without_others_callers_have_it_all() -> None:
    """Floors of ranks that want nothing are not kept."""
    assert fill(WindowLog(100, 60.0), Rank.CALLER) == 100


def test_who_was_refused_gets_its_floor_next() -> None:
    """Callers who would take everything leave the others theirs, once these have asked."""
    log = WindowLog(100, 60.0)
    fill(log, Rank.CALLER)
    assert log.try_take(1.0, Rank.REFRESH) == 59.0

    assert fill(log, Rank.CALLER, now=60.0) == 90
    assert fill(log, Rank.REFRESH, now=60.0) == 10


def test_a_floor_that_nobody_asks_for_lapses() -> None:
    """A window after the refusal it is anybody's."""
    log = WindowLog(100, 60.0)
    fill(log, Rank.CALLER)
    log.try_take(1.0, Rank.REFRESH)

    assert fill(log, Rank.CALLER, now=61.0) == 100


def test_no_rank_exceeds_its_ceiling() -> None:
    """The sweep has its share, however much is left."""
    log = WindowLog(100, 60.0, sweep_share=0.3)
    assert fill(log, Rank.SWEEP) == 30
    assert log.try_take(15.0, Rank.SWEEP) == 45.0


def test_a_call_may_be_granted_for_later() -> None:
    """Who is patient has a place, and the next one the place after it."""
    log = WindowLog(2, 60.0)
    log.try_take(0.0)
    log.try_take(10.0)
    waits = [log.try_take(50.0, patience=30.0) for _ in range(3)]
    assert waits == [10.0, 20.0, 70.0]
    assert log.try_take(60.0, Rank.CALLER) == 60.0


def test_a_place_that_is_given_back_is_free() -> None:
    """For whoever comes next."""
    log = WindowLog(1, 60.0)
    log.try_take(0.0)
    assert log.try_take(50.0, patience=30.0) == 10.0
    log.give_back(60.0)
    assert log.try_take(60.0) == 0.0


def test_a_call_that_goes_late_counts_from_then() -> None:
    """In the log of its rank as well."""
    log = WindowLog(1, 60.0)
    log.try_take(0.0)
    log.move(0.0, 30.0)
    assert log.try_take(60.0) == 30.0


def test_a_call_that_goes_late_leaves_the_calls_of_other_ranks() -> None:
    """Two ranks have the same turn. One call goes late, and the other one is given back."""
    log = WindowLog(4, 60.0)
    for _ in range(4):
        log.try_take(0.0)
    turns = [log.try_take(1.0, rank, patience=60.0) for rank in (Rank.CALLER, Rank.SWEEP)]
    assert turns == [59.0, 59.0]

    assert log.move(60.0, 61.0)
    log.give_back(60.0)

    assert log.try_take(62.0, Rank.SWEEP) == 0.0


@given(
    st.integers(1, 30),
    st.lists(st.tuples(steps, st.sampled_from(RANKS), st.integers(0, 80)), max_size=80),
)
def test_no_mixture_of_ranks_exceeds_the_limit(
    limit: int, asked: list[tuple[float, Rank, int]]
) -> None:
    """Whoever asks when, for now or for later, in no order of their turns."""
    log, now, granted = WindowLog(limit, 20.0), 0.0, []
    for step, rank, quarters in asked:
        now += step
        wait = log.try_take(now, rank, quarters / 4)
        if wait <= quarters / 4:
            granted.append(now + wait)
    for first in granted:
        assert sum(first <= call < first + 20.0 for call in granted) <= limit


pasts = st.builds(
    lambda limit, times, until, claim: Past(limit, times[:limit], until, claim),
    st.integers(9, 30),
    st.lists(st.integers(0, 80).map(lambda quarters: quarters / 4), max_size=30),
    st.sampled_from([None, 21.5]),
    st.integers(0, 5),
)


@given(pasts, st.integers(1, 3), st.lists(steps, max_size=40))
def test_parts_together_grant_what_the_whole_would(
    past: Past, parts: int, steps: list[float]
) -> None:
    """Of what was known to be spent by 20, and of all that may have been by `until`."""
    most = (past.limit - len(past.times)) // (2 * parts)
    past = replace(past, claim=min(past.claim, most))
    logs, calls, now = [WindowLog(past.limit, 20.0) for _ in range(parts)], [*past.times], 20.0
    if past.until is not None:
        calls += [past.until] * (past.limit - len(calls) - parts * past.claim)
    for log in logs:
        log.share(past, parts)
    for step in [0.0, *steps]:
        now += step
        granted = [fill(log, Rank.CALLER, now) for log in logs]
        calls += [now] * sum(granted)

    for first in calls:
        assert sum(first <= each < first + 20.0 for each in calls) <= past.limit


def test_a_part_has_what_is_free_for_it() -> None:
    """Of twelve calls five were spent: a third of the rest each, and then a third as these end."""
    log = WindowLog(12, 20.0)
    log.share(Past(12, [1.0, 2.0, 3.0, 4.0, 5.0], None), 3)

    assert fill(log, Rank.CALLER, now=20.0) == 2
    assert log.try_take(20.0) == 2.0
    assert log.try_take(22.0) == 0.0
    assert log.try_take(22.0) == 3.0


def test_a_part_counts_its_own_calls_completely() -> None:
    """It made four of six calls itself, so it makes none of the six that are left: its part is
    four."""
    log = WindowLog(12, 20.0)
    log.share(Past(12, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], None, own=[3.0, 4.0, 5.0, 6.0]), 3)

    assert fill(log, Rank.CALLER, now=20.0) == 0
    assert log.try_take(20.0) == 3.0
    assert fill(log, Rank.CALLER, now=26.0) == 4


def test_no_part_is_nothing() -> None:
    """Even of fewer calls than there are parts."""
    log = WindowLog(2, 20.0)
    log.share(Past(2, [], None), 3)

    assert fill(log, Rank.CALLER) == 1


def test_a_claim_goes_whatever_the_others_did() -> None:
    """The rest may have been spent until then, and is free a window later."""
    log = WindowLog(12, 20.0)
    log.share(Past(12, [], 21.0, claim=2), 3)

    assert fill(log, Rank.CALLER, now=20.0) == 2
    assert fill(log, Rank.CALLER, now=40.0) == 2
    assert fill(log, Rank.CALLER, now=41.0) == 2


def test_a_429_leaves_what_others_perhaps_spend() -> None:
    """Until then, calls that are not known count as spent. Only a waiting call has to pay again."""
    log = WindowLog(100, 10.0)
    log.share(Past(100, [20.0] * 18, 21.0, claim=1), 2)
    assert log.try_take(20.5, patience=0.0) == 0.0
    assert log.try_take(20.5, patience=20.0) > 0.0

    log.refused(20.5)

    assert Counter(log.times) == {20.0: 9, 20.5: 1, 21.0: 40}
    assert log.limit(20.5) == 40


def test_a_call_that_was_granted_for_later_counts_in_a_part_until_its_own_window_ends() -> None:
    """It is later than the last moment at which others may have spent the rest."""
    log = WindowLog(4, 20.0)
    log.share(Past(4, [30.0], 21.0), 1)

    assert fill(log, Rank.CALLER, now=42.0) == 3


def test_a_part_counts_no_made_up_calls_of_a_rank() -> None:
    """They were made up for the whole limit, and would be more than a rank may have of a part."""
    log = WindowLog.paced(100, 60.0, now=0.0)
    log.share(Past(100, [], None), 10)

    assert fill(log, Rank.REFRESH) == 8
    assert fill(log, Rank.CALLER) == 2
