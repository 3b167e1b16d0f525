"""A stored response: its age, whether it is fresh, which is later, what a floor rules out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cache.entry import (
    CLOCK_TOLERANCE,
    ERA,
    SOFT,
    Confirmation,
    Entry,
    Floor,
    Ticket,
    era,
    leaves_nothing,
    next_era,
)
from gateway.core.cache.version_verdict import supersedes
from gateway.core.instant import from_seconds
from tests.doubles.stored import TICKET, entry_of, version

SENT = 1_000.0

# Few values, so that equal ones meet.
moments = st.integers(0, 4).map(float)
versions = st.integers(0, 3)


def at(confirmed_at: float, updated_at: int | None = 0, generation: int = 0) -> Entry:
    """An entry of that version from a fetch that began then; no version: a negative one."""
    ticket = Ticket("e", generation, confirmed_at)
    return entry_of(ticket, None if updated_at is None else version(updated_at))


def aged(lifetime: float, initial_age: float = 0.0) -> Entry:
    """An entry confirmed at SENT with that lifetime, in seconds."""
    return at(SENT).but(freshness_lifetime=lifetime, initial_age=initial_age)


def floor_of(updated_at: int | None, generation: int = 0, started: float = 0.0) -> Floor:
    """What is known of the key."""
    return Floor("e", generation, None if updated_at is None else version(updated_at), "", started)


def test_age_counts_from_the_call_that_confirmed_it() -> None:
    """Time since the call was sent, whichever tier it was spent in, and the upstream's Age."""
    assert aged(30.0).age(SENT + 12.5) == 12.5
    assert aged(30.0, initial_age=20.0).age(SENT + 12.5) == 32.5


@given(st.integers(-5, 5), st.integers(0, 5))
def test_age_is_never_below_what_the_upstream_reported(passed: int, reported: int) -> None:
    """A clock that lags makes nothing younger than it was when it came."""
    assert aged(30.0, float(reported)).age(SENT + passed) == max(0, passed) + reported


@pytest.mark.parametrize(("passed", "fresh"), [(0.0, True), (29.75, True), (30.0, False)])
def test_fresh_is_younger_than_its_lifetime(passed: float, fresh: bool) -> None:
    """The lifetime's last moment is not part of it."""
    assert aged(30.0).is_fresh(SENT + passed) is fresh


def test_reported_age_is_part_of_the_lifetime() -> None:
    """What aged in a cache of the upstream is fresh for the rest only."""
    assert aged(30.0, initial_age=29.0).is_fresh(SENT + 0.5)
    assert not aged(30.0, initial_age=29.0).is_fresh(SENT + 1.0)


def test_clocks_may_differ_a_little() -> None:
    """Another replica's entry from the near future is fresh, one from further ahead never."""
    entry = aged(30.0)

    assert entry.is_fresh(SENT - CLOCK_TOLERANCE)
    assert not entry.is_from_the_future(SENT - CLOCK_TOLERANCE)
    assert not entry.is_fresh(SENT - CLOCK_TOLERANCE - 0.25)
    assert entry.is_from_the_future(SENT - CLOCK_TOLERANCE - 0.25)


def test_reported_age_hides_no_clock_set_back() -> None:
    """An entry from an hour ahead is not fresh for the Age that came with it."""
    assert not aged(7200.0, initial_age=3600.0).is_fresh(SENT - 3600.0)


@given(st.floats(-2.0, 2.0))
def test_no_lifetime_is_never_fresh(passed: float) -> None:
    """A lifetime of zero holds in spite of the tolerance for clocks."""
    assert not aged(0.0).is_fresh(SENT + passed)


@given(versions, moments, versions, moments)
def test_the_later_version_supersedes_then_the_later_fetch(
    one: int, sent: float, other: int, other_sent: float
) -> None:
    """The order is the one of (updated_at, confirmed_at)."""
    expected = one > other or (one == other and sent >= other_sent)

    assert supersedes(at(sent, one), at(other_sent, other)) is expected


@given(*[st.builds(at, moments, versions)] * 3)
def test_supersedes_is_a_total_transitive_order(a: Entry, b: Entry, c: Entry) -> None:
    """Of two one always may replace the other, and no three can replace each other in a ring."""
    assert supersedes(a, b) or supersedes(b, a)
    assert supersedes(a, c) or not (supersedes(a, b) and supersedes(b, c))
    if supersedes(a, b) and supersedes(b, a):
        assert (a.updated_at, a.confirmed_at) == (b.updated_at, b.confirmed_at)


@given(moments, moments, versions | st.none())
def test_negative_entries_are_ordered_by_their_fetch(
    sent: float, other_sent: float, other: int | None
) -> None:
    """Whether there is a training is told by whoever asked later, whatever version was seen."""
    negative, second = at(sent, None), at(other_sent, other)

    assert supersedes(negative, second) is (sent >= other_sent)
    assert supersedes(second, negative) is (other_sent >= sent)


def test_only_what_has_no_version_is_negative() -> None:
    """The remembered 404 is told by its missing version, not by its status."""
    assert at(SENT, None).is_negative
    assert not at(SENT).is_negative


@pytest.mark.parametrize(
    ("entry", "floor", "below"),
    [
        (at(1.0, 1), floor_of(1), False),
        (at(1.0, 1), floor_of(2), True),
        (at(1.0, 2), floor_of(1), False),
        (at(1.0, 1), floor_of(None), False),
        (at(1.0, 1, generation=1), floor_of(1, generation=1), False),
        (at(1.0, 9, generation=1), floor_of(1, generation=2), True),
        (at(1.0, 1, generation=2), floor_of(1, generation=1), False),
        (at(1.0, 1), floor_of(1, started=2.0), False),
        (at(1.0, None), floor_of(None), False),
        (at(1.0, None), floor_of(3, started=1.0), False),
        (at(1.0, None), floor_of(3, started=2.0), True),
        (at(1.0, None, generation=1), floor_of(None, generation=2), True),
    ],
)
def test_what_a_floor_rules_out(entry: Entry, floor: Floor, below: bool) -> None:
    """A generation passed, a version passed; a negative entry by all that was learnt later."""
    assert entry.is_below(floor) is below


@given(versions | st.none(), versions | st.none(), moments)
def test_another_epoch_rules_out_everything(
    updated_at: int | None, known: int | None, sent: float
) -> None:
    """After a flush of Redis no generation from before means anything."""
    before = at(sent, updated_at, generation=7).but(epoch="before")

    assert before.is_below(floor_of(known))


@given(versions, versions, moments, st.integers(0, 2), st.integers(0, 2))
def test_a_floor_only_ever_rules_out_more(
    seen: int, known: int, sent: float, generation: int, risen: int
) -> None:
    """What one floor rules out stays so while generation and version rise."""
    entry = at(sent, seen, generation=1)
    risen_floor = floor_of(known + risen, generation + risen)

    assert not entry.is_below(floor_of(known, generation)) or entry.is_below(risen_floor)


@pytest.mark.parametrize(("seconds", "is_ahead"), [(-1, False), (300, False), (300.001, True)])
def test_a_version_is_ahead_beyond_five_minutes(seconds: float, is_ahead: bool) -> None:
    """Counted from when the call was sent."""
    entry = entry_of(TICKET, from_seconds(TICKET.started + seconds))

    assert entry.is_ahead is is_ahead


def test_a_negative_entry_is_not_ahead() -> None:
    """It has no version."""
    assert not entry_of(TICKET, None).is_ahead


ENTRY = entry_of(Ticket("e", 3, 100.0))
GONE = entry_of(Ticket("e", 3, 100.0), None)


def floor_under(entry: Entry, started: float = 100.0) -> Floor:
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
    floor = floor_under(entry)

    assert entry.confirmed_by(floor, Confirmation.of(entry)) is entry
    assert entry.confirmed_by(floor, None) is entry


@pytest.mark.parametrize("entry", [ENTRY, GONE, GONE.but(status=410)])
def test_a_later_answer_with_the_same_body_renews(entry: Entry) -> None:
    """With all that it brought: no field is left from the earlier one."""
    renewed = later(entry)

    confirmed = entry.confirmed_by(floor_under(entry, 160.0), Confirmation.of(renewed))

    assert confirmed == renewed
    assert confirmed is not None
    assert confirmed.body is entry.body


@pytest.mark.parametrize("last", [GONE, later(GONE)], ids=["earlier", "later"])
def test_what_a_later_fetch_rules_out_is_not_confirmed(last: Entry) -> None:
    """It brought the same bytes, perhaps as another kind of answer."""
    floor = floor_under(GONE, 170.0)

    assert later(GONE).confirmed_by(floor, Confirmation.of(last)) is None
    assert GONE.confirmed_by(floor, Confirmation.of(last)) is None


def test_an_earlier_answer_takes_nothing_back() -> None:
    """What L1 holds was confirmed later than what Redis kept."""
    renewed = later(ENTRY)

    assert renewed.confirmed_by(floor_under(ENTRY, 160.0), Confirmation.of(ENTRY)) is renewed


def test_the_floors_time_alone_renews_nothing() -> None:
    """It may be that of a later fetch which brought an older version."""
    confirmed = ENTRY.confirmed_by(floor_under(ENTRY, 160.0), Confirmation.of(ENTRY))

    assert confirmed is ENTRY


def test_without_what_came_beside_a_later_time_says_look() -> None:
    """A later answer confirmed it, and only its body has the rest."""
    assert ENTRY.confirmed_by(floor_under(ENTRY, 160.0), None) is None


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
    floor = change(floor_under(entry, 160.0))

    assert entry.confirmed_by(floor, Confirmation.of(later(entry))) is None


def test_the_same_bytes_of_another_version_are_to_be_looked_at() -> None:
    """Whatever brought them, they are below the floor."""
    floor = replace(floor_under(ENTRY, 160.0), updated_at=version(1))

    assert ENTRY.confirmed_by(floor, Confirmation.of(later(ENTRY))) is None
    assert ENTRY.confirmed_by(replace(floor, started=100.0), None) is None


@pytest.mark.parametrize(("entry", "status"), [(ENTRY, 404), (GONE, 200), (GONE, 410)])
def test_the_same_bytes_with_another_status_are_to_be_looked_at(entry: Entry, status: int) -> None:
    """A 404 is not renewed by a training, nor the other way round."""
    last = Confirmation.of(later(entry).but(status=status))

    assert entry.confirmed_by(floor_under(entry, 160.0), last) is None


@given(st.integers(0, 5).filter(lambda generation: generation != 3))
def test_an_answer_of_another_generation_renews_nothing(generation: int) -> None:
    """It vouched for the body before an invalidation, or after one that we have not seen."""
    last = Confirmation.of(later(ENTRY).but(generation=generation))

    assert ENTRY.confirmed_by(floor_under(ENTRY, 160.0), last) is None
    assert ENTRY.confirmed_by(floor_under(ENTRY, 100.0), last) is ENTRY


def test_an_answer_with_vary_renews_no_entry_without() -> None:
    """The upstream has begun to send it: the entry would be given to all requests."""
    last = later(ENTRY).but(headers=(*ENTRY.headers, (b"vary", b"Foo")))

    assert ENTRY.confirmed_by(floor_under(ENTRY, 160.0), Confirmation.of(last)) is None


HARD = 1


@pytest.mark.parametrize(
    ("before", "now", "nothing_left"),
    [
        (0, 0, False),
        (0, HARD, True),
        (0, SOFT, False),
        (0, 3 * SOFT, False),
        (0, SOFT + HARD, True),
        (HARD, HARD + SOFT, False),
        (SOFT + HARD, SOFT + HARD, False),
        (SOFT, 2 * SOFT + HARD, True),
        (HARD, 2 * HARD, True),
        # A copy that takes over may lack the last orders: they are the caller's business.
        (2 * HARD, HARD, False),
        # A purge begins an era; it removes bodies itself, where it leaves none.
        (7, ERA, False),
        (7, ERA + SOFT, False),
        (0, ERA + HARD, True),
        (7, ERA + 7, True),
        (ERA + HARD, ERA + HARD + SOFT, False),
    ],
)
def test_what_two_generations_tell(before: int, now: int, nothing_left: bool) -> None:
    """Whichever order came first, and however many of each."""
    assert leaves_nothing(before, now) is nothing_left


def test_an_era_begins_without_orders() -> None:
    """Whatever was ordered in the one before."""
    for generation in (0, HARD, 5 * SOFT + 3 * HARD):
        assert next_era(generation) == ERA
    assert (era(next_era(ERA + SOFT)), next_era(ERA + SOFT) % SOFT) == (2, 0)
