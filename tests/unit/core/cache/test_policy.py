"""What may be reused, and what may rescue: against models that spell the windows out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cache.entry import Entry, Floor, Ticket
from gateway.core.cache.policy import Candidate, Plan, Windows, may_rescue, plan, reconcile
from gateway.core.cache.version_verdict import supersedes
from tests.doubles.stored import entry_of, version

SENT = 10_000.0
DEFAULTS = Windows()

lengths = st.integers(0, 12)
_numbers = st.integers(0, 2)
floors = st.builds(
    Floor,
    st.sampled_from("ab"),
    _numbers,
    st.none() | _numbers.map(version),
    st.just(""),
    _numbers.map(float),
)


def windows_of(revalidate: int, error: int) -> Windows:
    """Stale windows of whole seconds."""
    return Windows(stale_while_revalidate=float(revalidate), stale_if_error=float(error))


def entry_with(lifetime: float, *, negative: bool = False, initial_age: float = 0.0) -> Entry:
    """An entry confirmed at SENT."""
    entry = entry_of(Ticket("a", 0, SENT), None if negative else version())
    return entry.but(freshness_lifetime=float(lifetime), initial_age=float(initial_age))


def of(number: int | None, sent: int, generation: int, epoch: str) -> Entry:
    """One of a few entries of the same key."""
    ticket = Ticket(epoch, generation, float(sent))
    return entry_of(ticket, None if number is None else version(number))


entries = st.builds(of, st.none() | _numbers, _numbers, _numbers, st.sampled_from("ab"))


@dataclass(frozen=True)
class Case:
    """An entry of some age under some windows, all in whole seconds."""

    passed: int
    initial_age: int
    lifetime: int
    revalidate: int
    error: int
    negative: bool

    @property
    def now(self) -> float:
        """The moment that is judged."""
        return SENT + self.passed

    @property
    def entry(self) -> Entry:
        """The entry that is judged."""
        negative, initial_age = self.negative, self.initial_age
        return entry_with(self.lifetime, negative=negative, initial_age=initial_age)

    @property
    def windows(self) -> Windows:
        """The stale windows."""
        return windows_of(self.revalidate, self.error)

    def expected_plan(self) -> Plan:
        """Each window written out second by second."""
        age = self.passed + self.initial_age
        if age in range(self.lifetime):
            return Plan.SERVE
        if self.negative:
            return Plan.FETCH
        if age in range(self.lifetime, self.lifetime + self.revalidate):
            return Plan.SERVE_AND_REFRESH
        if age in range(self.lifetime, self.lifetime + self.error):
            return Plan.WAIT_SOFTLY
        return Plan.FETCH

    def expected_rescue(self) -> bool:
        """The seconds of all windows, gathered one by one."""
        seconds = {*range(self.lifetime + self.revalidate), *range(self.lifetime + self.error)}
        return not self.negative and self.passed + self.initial_age in seconds


cases = st.builds(
    Case, st.integers(0, 30), st.integers(0, 5), lengths, lengths, lengths, st.booleans()
)


@given(cases)
def test_plan_is_the_model(case: Case) -> None:
    """Fresh is served, then served and refreshed, then waited for, then fetched."""
    assert plan(case.entry, case.now, case.windows) is case.expected_plan()


@given(cases)
def test_rescue_is_the_model(case: Case) -> None:
    """It rescues while fresh or in either stale window, and a negative entry never."""
    assert may_rescue(case.entry, case.now, case.windows) is case.expected_rescue()


@given(cases)
def test_below_the_floor_it_is_never_served_unasked(case: Case) -> None:
    """What was invalidated is fetched anew, however young it is."""
    assert plan(case.entry, case.now, case.windows, below_floor=True) is Plan.FETCH


@pytest.mark.parametrize(
    ("age", "chosen", "rescues"),
    [
        (-1.25, Plan.FETCH, False),
        (-1.0, Plan.SERVE, True),
        (0.0, Plan.SERVE, True),
        (29.75, Plan.SERVE, True),
        (30.0, Plan.SERVE_AND_REFRESH, True),
        (329.75, Plan.SERVE_AND_REFRESH, True),
        (330.0, Plan.WAIT_SOFTLY, True),
        (86_429.75, Plan.WAIT_SOFTLY, True),
        (86_430.0, Plan.FETCH, False),
    ],
)
def test_the_defaults_of_the_contract(age: float, chosen: Plan, rescues: bool) -> None:
    """30 s fresh, 5 min refreshing, 24 h on error, both counted from the end of the lifetime."""
    entry = entry_with(30.0)

    assert plan(entry, SENT + age, DEFAULTS) is chosen
    assert may_rescue(entry, SENT + age, DEFAULTS) is rescues


@pytest.mark.parametrize(("revalidate", "error"), [(10.0, 0.0), (0.0, 10.0)])
def test_it_rescues_in_the_longer_window(revalidate: float, error: float) -> None:
    """Whichever of the two that is."""
    windows = Windows(30.0, stale_while_revalidate=revalidate, stale_if_error=error)

    assert may_rescue(entry_with(30.0), SENT + 39.0, windows)
    assert not may_rescue(entry_with(30.0), SENT + 41.0, windows)


@given(st.integers(0, 9_000))
def test_reported_age_hides_no_clock_set_back(initial_age: int) -> None:
    """From further ahead than clocks differ: neither served nor a rescue, whatever its Age."""
    entry = entry_with(30.0, initial_age=initial_age)

    assert plan(entry, SENT - 1.25, DEFAULTS) is Plan.FETCH
    assert not may_rescue(entry, SENT - 1.25, DEFAULTS)


@given(lengths, lengths, lengths, lengths)
def test_an_entry_is_kept_beyond_every_window(
    lifetime: int, negative: int, revalidate: int, error: int
) -> None:
    """Its expiry in Redis leaves a minute after the last moment at which it is of any use."""
    windows = Windows(float(lifetime), float(revalidate), float(error), 1.0, float(negative))
    last = SENT + windows.keep - 60.0

    assert last >= SENT
    assert not may_rescue(entry_with(lifetime), last, windows)
    assert plan(entry_with(lifetime), last, windows) is Plan.FETCH
    assert plan(entry_with(negative, negative=True), last, windows) is Plan.FETCH


def test_of_two_tiers_the_later_one_is_taken() -> None:
    """The later version, whichever tier has it; of equals the one that all replicas see."""
    older, newer, again = of(1, 5, 0, "a"), of(2, 4, 0, "a"), of(2, 4, 0, "a")

    floor = Floor("a", 0, version(1), "", 1.0)
    assert reconcile(older, newer, floor) == Candidate(newer, below_floor=False)
    assert reconcile(newer, older, floor) == Candidate(newer, below_floor=False)
    chosen = reconcile(newer, again, floor)
    assert chosen is not None
    assert chosen.entry is again


def test_below_an_unknown_floor_everything_only_rescues() -> None:
    """What ruled it out may be lost."""
    older, newer = of(1, 5, 0, "a"), of(2, 4, 0, "a")

    assert reconcile(older, newer, None) == Candidate(newer, below_floor=True)


def test_nothing_stored_is_no_candidate() -> None:
    """A floor alone answers nobody."""
    assert reconcile(None, None, Floor("a", 0, version(1), "", 1.0)) is None


def test_a_purged_version_gives_way_to_the_earlier_one_believed_since() -> None:
    """A replica that missed a purge takes what Redis has, though its own version is later."""
    purged, believed = of(2, 1, 0, "a"), of(1, 2, 1, "a")

    chosen = reconcile(purged, believed, Floor("a", 1, version(1), "", 2.0))

    assert chosen == Candidate(believed, below_floor=False)


def test_a_negative_entry_gives_way_to_what_was_learnt_later() -> None:
    """A replica that missed the message does not go on saying that there is no training."""
    chosen = reconcile(of(None, 1, 0, "a"), None, Floor("a", 0, version(1), "", 2.0))

    assert chosen is not None
    assert chosen.below_floor


@given(entries | st.none(), entries | st.none(), floors | st.none())
def test_reconcile_takes_the_best_there_is(
    local: Entry | None, found: Entry | None, floor: Floor | None
) -> None:
    """The latest of those above the floor; only where none is, the latest of the rest."""
    held = [entry for entry in (local, found) if entry is not None]
    above = [entry for entry in held if floor is not None and not entry.is_below(floor)]

    chosen = reconcile(local, found, floor)

    if not held:
        assert chosen is None
        return
    assert chosen is not None
    assert chosen.below_floor is (above == [])
    assert any(chosen.entry is entry for entry in above or held)
    assert all(supersedes(chosen.entry, entry) for entry in above or held)
