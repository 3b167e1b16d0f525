"""Ranks: each purpose has one, and no mixture of them leaves much of a limit unused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budget.priority import RANKS, Rank, kept_from, portions, rank_of
from gateway.core.vocabulary import Purpose


def test_every_purpose_has_a_rank() -> None:
    """Nothing that is called for is forgotten."""
    assert {rank_of(purpose) for purpose in Purpose} == set(RANKS)


@pytest.mark.parametrize("purpose", [Purpose.SWEEP, Purpose.WARM, Purpose.VERIFY])
def test_what_nobody_asked_for_is_the_sweeps(purpose: Purpose) -> None:
    """Pages, warming and looks at absent ids are paid from one portion."""
    assert rank_of(purpose) is Rank.SWEEP


@given(st.integers(1, 10_000), st.floats(0.01, 1.0))
def test_floors_leave_a_third_to_whoever_comes(limit: int, sweep_share: float) -> None:
    """And no rank has a floor above its ceiling, nor a ceiling of nothing."""
    of = portions(limit, sweep_share)
    assert sum(portion.floor for portion in of.values()) <= max(0.7 * limit, 0)
    for rank, portion in of.items():
        assert 1 <= portion.ceiling <= limit, rank


def test_the_sweep_may_have_its_share() -> None:
    """The setting is its ceiling; the callers' ceiling is the limit."""
    of = portions(100, 0.3)
    assert (of[Rank.SWEEP].ceiling, of[Rank.CALLER].ceiling) == (30, 100)


def test_callers_are_kept_theirs_unasked() -> None:
    """The others' floors are kept while they want them."""
    spent = dict.fromkeys(RANKS, 0) | {Rank.REFRESH: 30}
    of = portions(100, 0.5)
    assert kept_from(Rank.REFRESH, spent, [], of) == 20
    assert kept_from(Rank.REFRESH, spent, [Rank.SWEEP], of) == 30


def test_what_is_spent_is_not_kept() -> None:
    """A floor that was had leaves nothing to keep."""
    spent = dict.fromkeys(RANKS, 0) | {Rank.REFRESH: 30, Rank.CALLER: 18, Rank.SWEEP: 40}
    assert kept_from(Rank.REFRESH, spent, [Rank.SWEEP], portions(100, 0.5)) == 2


def test_two_below_their_floors_do_not_wait_for_each_other() -> None:
    """Only what is always kept is left by who has not had its own."""
    spent = dict.fromkeys(RANKS, 0)
    wanted = [Rank.SWEEP, Rank.REFRESH]
    of = portions(100, 0.5)
    assert kept_from(Rank.SWEEP, spent, wanted, of) == 20
    assert kept_from(Rank.CALLER, spent, wanted, of) == 0
