"""The rules of marks one by one. What they promise together is in tests/model/marks."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from gateway.core.cache import marks
from gateway.core.cache.marks import Facts, Mark, Marks, Refusal, Slot, State, Version
from tests.doubles.stored import VERSION, WORDS, version

NOW = 1_000.0
MARKS = Marks(*(Mark(each) for each in WORDS if each))
OLD, NEW = VERSION, version(1)
_numbers = count(100)


def word() -> str:
    """A word that never comes again."""
    return f"{next(_numbers):016x}"


def facts(updated_at: Version = NEW, started: float = NOW) -> Facts:
    """What a fetch of that moment brought, with the words of `MARKS`."""
    return Facts(updated_at, WORDS, started, started)


def after(order: Version = None, *, is_hard: bool = False) -> Marks:
    """The marks after an order about the training."""
    mark = marks.ordered(MARKS.training, order, is_hard=is_hard, new_word=word)
    return MARKS._replace(training=mark)


@pytest.mark.parametrize(
    ("standing", "stored", "state"),
    [
        (MARKS, facts(), State.CURRENT),
        (after(), facts(), State.RESCUE),
        (after(is_hard=True), facts(), State.GONE),
        (after(NEW), facts(OLD), State.RESCUE),
        (after(NEW, is_hard=True), facts(OLD), State.GONE),
        (after(NEW, is_hard=True), facts(NEW), State.CURRENT),
        (after(NEW), facts(None), State.GONE),
        (MARKS._replace(partition=None), facts(), State.GONE),
        (MARKS, replace(facts(), ticket=WORDS._replace(partition=None)), State.GONE),
    ],
)
def test_marks_decide_what_a_stored_response_may_be_used_for(
    standing: Marks, stored: Facts, state: State
) -> None:
    """Orders without and with a version, a 404, a lost mark, a fetch without Redis."""
    assert marks.state_of(stored, standing) is state


LATER = facts(OLD, NOW + 1.0)
WITHOUT_REDIS = replace(facts(NEW), ticket=marks.Ticket())
SOFT = after()
SINCE = replace(facts(OLD), ticket=SOFT.ticket)


@pytest.mark.parametrize(
    ("standing", "stored", "kept", "best", "state"),
    [
        (MARKS, None, None, None, State.GONE),
        (MARKS, facts(OLD), None, facts(OLD), State.CURRENT),
        (MARKS, facts(OLD), LATER, LATER, State.CURRENT),
        (MARKS, LATER, facts(OLD), LATER, State.CURRENT),
        (MARKS, facts(NEW), LATER, facts(NEW), State.CURRENT),
        (MARKS, LATER, facts(NEW), facts(NEW), State.CURRENT),
        (after(NEW), facts(OLD), facts(NEW), facts(NEW), State.CURRENT),
        (after(NEW), facts(NEW), LATER, facts(NEW), State.CURRENT),
        (MARKS, facts(OLD), WITHOUT_REDIS, facts(OLD), State.RESCUE),
        (MARKS, None, WITHOUT_REDIS, None, State.GONE),
        (SOFT, facts(NEW), SINCE, facts(NEW), State.RESCUE),
        (SOFT, SINCE, facts(NEW), SINCE, State.CURRENT),
        (after(is_hard=True), facts(NEW), SINCE, None, State.GONE),
    ],
)
def test_the_better_of_two_copies_is_used(
    standing: Marks, stored: Facts | None, kept: Facts | None, best: Facts | None, state: State
) -> None:
    """By state, then by version, then by start. One that is gone leaves an older one for rescue."""
    assert marks.better(standing, stored, kept) == (best, state)


def stored_in(slot: Slot, new: Facts, now: float = NOW) -> Slot:
    """The slot after the answer was offered; believed a minute after the first refusal."""
    return marks.store(slot, new, now, word, believe_after=60.0)


SLOT = Slot(MARKS.training, facts(NEW))
NO_TRAINING = facts(None, NOW + 1.0)
TOKEN = Mark(marks.Words(word(), word(), word()))  # of the partition, before a hard order
OTHER = Slot(MARKS.training, replace(facts(NEW), ticket=WORDS._replace(partition=TOKEN.words)))


@pytest.mark.parametrize(
    ("slot", "new", "is_stored"),
    [
        (Slot(), facts(), False),
        (Slot(after(is_hard=True).training), facts(), False),
        (Slot(after().training), facts(), True),
        (Slot(after(NEW).training), facts(OLD), False),
        (SLOT, facts(version(2)), True),
        (SLOT, facts(OLD), False),
        (SLOT, facts(NEW, NOW - 1.0), False),
        (SLOT, facts(None, NOW - 1.0), False),
        (SLOT, facts(None, NOW + 1.0), True),
        (Slot(MARKS.training, facts(NEW, NOW + 99.0)), facts(NEW, NOW + 1.0), True),
        (Slot(MARKS.training, facts(NEW, NOW + 0.9)), facts(NEW, NOW + 0.8), False),
        (OTHER, facts(OLD, NOW + 1.0), True),
        (OTHER, facts(version(2), NOW - 1.0), False),
        (stored_in(SLOT, NO_TRAINING), facts(OLD, NOW + 2.0), True),
    ],
)
def test_an_answer_is_stored_unless_something_later_is_known(
    slot: Slot, new: Facts, is_stored: bool
) -> None:
    """No mark, an order meanwhile, a bound, a later version, a later fetch, a clock set back, a
    clock that is read late, other hard words, an older version after a 404."""
    assert marks.is_stored(slot, stored_in(slot, new)) is is_stored


def test_a_version_that_went_back_is_believed_a_minute_later() -> None:
    """It gets new words, so that the later version is not current again in another place."""
    refused = stored_in(SLOT, facts(OLD), NOW + 1.0)
    again = stored_in(refused, facts(OLD, NOW + 60.0), NOW + 60.0)
    believed = stored_in(again, facts(OLD, NOW + 61.0), NOW + 61.0)

    assert refused.refusal == again.refusal == Refusal(OLD, NOW + 1.0)
    assert believed.refusal is None
    assert believed.stored is not None
    standing = MARKS._replace(training=believed.mark)
    assert marks.state_of(believed.stored, standing) is State.CURRENT
    assert marks.state_of(facts(NEW), standing) is State.RESCUE


def test_an_order_between_two_refusals_forgets_the_first() -> None:
    """What the second fetch read is not what stands now."""
    ordered = stored_in(SLOT, facts(OLD))._replace(mark=after().training)

    assert stored_in(ordered, facts(OLD, NOW + 90.0), NOW + 90.0) == ordered


def test_a_mark_that_is_lost_matches_nothing() -> None:
    """The mark that a fetch makes in its place has other words."""
    made = marks.with_mark(Slot(), word).mark

    assert marks.state_of(facts(), MARKS._replace(training=made)) is State.GONE
