from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.cache.entry import Entry
from gateway.core.cache.version_verdict import ENOUGH, Doubt, doubt_of
from gateway.core.instant import Instant
from tests.doubles.stored import TICKET, entry_of, version

KNOWN = version(5)
FAR = version(10**18)


def refused(at: float, updated_at: Instant = KNOWN, body: bytes | None = None) -> Entry:
    """The answer of a fetch that began so many seconds after the first."""
    return entry_of(replace(TICKET, started=TICKET.started + at), updated_at, body)


def grown(*answers: Entry, known: Instant | None = KNOWN) -> Doubt:
    """The doubt after these."""
    first, *others = answers
    doubt = doubt_of(first)
    for answer in others:
        doubt = doubt.after(answer, known)
    return doubt


def test_equal_answers_add_up() -> None:
    """From the first fetch to the last."""
    doubt = grown(refused(0, version(1)), refused(9, version(1)))

    assert (doubt.answers, doubt.first, doubt.last) == (2, TICKET.started, TICKET.started + 9)


@pytest.mark.parametrize(
    ("next_one", "answers"),
    [
        (refused(1, version(2)), 2),
        (refused(1, version(0)), 1),
        (refused(1, version(1), b"{}"), 1),
        (refused(1, FAR), 1),
    ],
)
def test_what_agrees(next_one: Entry, answers: int) -> None:
    """A later version, still behind what is known; nothing earlier, other, or ahead of it."""
    doubt = grown(refused(0, version(1)), next_one)

    assert doubt.answers == answers
    assert (doubt.updated_at, doubt.digest) == (next_one.updated_at, next_one.digest)


@pytest.mark.parametrize("at", [-1.0, 0.0])
def test_a_fetch_that_began_no_later_says_nothing(at: float) -> None:
    """Neither for nor against."""
    doubt = doubt_of(refused(0, version(1)))

    assert doubt.after(refused(at, version(1)), KNOWN) is doubt
    assert doubt.after(refused(at, version(0)), KNOWN) is doubt


def test_without_a_known_version_all_are_ahead() -> None:
    """Ever later dates agree."""
    assert grown(refused(0, FAR), refused(1, Instant(FAR + 1)), known=None).answers == 2


@pytest.mark.parametrize(
    ("times", "is_believed"),
    [((0, 30, 60), True), ((0, 30, 59.999), False), ((0, 60), False), ((0, 1, 2, 3, 60), True)],
)
def test_what_is_believed(times: tuple[float, ...], is_believed: bool) -> None:
    """Three answers at least, over at least that time."""
    doubt = grown(*(refused(at, version(1)) for at in times))

    assert doubt.is_believed(60.0) is is_believed


def test_without_a_time_three_answers_are_believed() -> None:
    """The number is no setting."""
    answers = [refused(at, version(1)) for at in range(ENOUGH)]

    assert grown(*answers).is_believed(0.0)
    assert not grown(*answers[:-1]).is_believed(0.0)


@pytest.mark.parametrize(("at", "is_ended"), [(-1.0, False), (0.0, True), (5.0, True)])
def test_what_ends_it(at: float, is_ended: bool) -> None:
    """An answer to a fetch that began before the doubt arose says nothing of it."""
    doubt = grown(refused(0, version(1)), refused(9, version(1)))

    assert doubt.is_ended_by(refused(at)) is is_ended
