"""contradictions: which claims of the list are believed, asked about, or ignored."""

from __future__ import annotations

import pytest

from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Belief, Claims, Contradictions

BELIEVED, ASKED, IGNORED = Belief.BELIEVED, Belief.ASKED, Belief.IGNORED


def claims(*versions: int) -> Claims:
    """What a page says of one training."""
    return frozenset(map(Instant, versions))


@pytest.fixture
def known() -> Contradictions:
    """The list claimed version 2 in the fifth sweep, and a single answer said 1."""
    contradictions = Contradictions()
    assert contradictions.belief("t1", claims(2), 5) is BELIEVED
    assert contradictions.answered("t1", claims(2), Instant(1), 5)
    return contradictions


def test_a_claim_that_was_contradicted_is_ignored_from_then_on(known: Contradictions) -> None:
    """However often it is repeated, and about that training alone."""
    assert [known.belief("t1", claims(2), sweep) for sweep in range(6, 20)] == [IGNORED] * 14
    assert known.belief("t2", claims(2), 6) is BELIEVED
    assert (len(known), "t1" in known, "t2" in known) == (1, True, False)


def test_another_claim_is_asked_about(known: Contradictions) -> None:
    """It may be an edit; what a single answer contradicts again is ignored again."""
    assert known.belief("t1", claims(4), 6) is ASKED
    assert known.answered("t1", claims(4), Instant(3), 6)

    assert known.belief("t1", claims(4), 7) is IGNORED
    assert known.belief("t1", claims(2), 7) is IGNORED
    assert known.belief("t1", claims(6), 7) is ASKED


def test_a_list_that_agrees_is_believed_after_a_whole_sweep(known: Contradictions) -> None:
    """Not in the sweep that contradicted, nor in the next one: another page may still do so."""
    assert [known.belief("t1", claims(1), sweep) for sweep in (5, 6)] == [IGNORED] * 2
    assert known.belief("t1", claims(1), 7) is BELIEVED
    assert "t1" not in known


def test_a_list_that_agrees_is_believed_although_sweeps_are_counted_anew() -> None:
    """After Redis has lost the progress; not only once as many sweeps have ended as before."""
    contradictions = Contradictions()
    contradictions.answered("t1", claims(2), Instant(1), 500)

    assert [contradictions.belief("t1", claims(1), sweep) for sweep in (0, 1)] == [IGNORED] * 2
    assert contradictions.belief("t1", claims(1), 2) is BELIEVED


def test_an_answer_that_bears_a_claim_out_makes_it_agree(known: Contradictions) -> None:
    """Without another call in the sweeps after that."""
    assert known.belief("t1", claims(4), 6) is ASKED
    assert not known.answered("t1", claims(4), Instant(4), 6)

    assert known.belief("t1", claims(4), 6) is IGNORED
    assert known.belief("t1", claims(4), 7) is BELIEVED


def test_a_row_that_stands_twice_with_two_versions_is_asked_about_once() -> None:
    """On one page or on two: the version that is wrong keeps the right one from being believed."""
    contradictions = Contradictions()
    assert contradictions.belief("t1", claims(1, 2), 5) is ASKED
    assert contradictions.answered("t1", claims(1, 2), Instant(1), 5)

    assert [contradictions.belief("t1", claims(1, 2), n) for n in (6, 7, 8)] == [IGNORED] * 3
    for sweep in range(9, 15):
        assert contradictions.belief("t1", claims(1), sweep) is IGNORED
        assert contradictions.belief("t1", claims(2), sweep) is IGNORED


def test_a_training_that_is_listed_and_not_there_is_ignored(known: Contradictions) -> None:
    """A 404 contradicts each version."""
    assert known.answered("t2", claims(1), None, 5)
    assert known.belief("t2", claims(1), 6) is IGNORED


def test_an_answer_that_agrees_is_not_remembered() -> None:
    """That is how it should be."""
    contradictions = Contradictions()

    assert not contradictions.answered("t1", claims(1), Instant(1), 5)
    assert len(contradictions) == 0


def test_trainings_and_claims_that_are_remembered_are_bounded() -> None:
    """The oldest are forgotten first."""
    contradictions = Contradictions(most=2)
    for name in ("t1", "t2", "t3"):
        contradictions.answered(name, claims(2), Instant(1), 5)
    for version in range(10, 16):
        contradictions.answered("t3", claims(version), Instant(1), 6)

    assert ["t1" in contradictions, "t2" in contradictions] == [False, True]
    assert contradictions.belief("t3", claims(15), 7) is IGNORED
    assert contradictions.belief("t3", claims(10), 7) is ASKED
