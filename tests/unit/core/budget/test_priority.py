"""Ranks: each purpose has one."""

from __future__ import annotations

from gateway.core.budget.priority import Rank, has_a_caller, rank_of
from gateway.core.vocabulary import Purpose


def test_every_purpose_has_a_rank() -> None:
    """And every rank has a purpose."""
    assert {rank_of(purpose) for purpose in Purpose} == set(Rank)


def test_a_single_call_of_the_sweep_ranks_as_a_refresh() -> None:
    """It refreshes a training, and takes none of the calls that the pages need."""
    assert rank_of(Purpose.SWEEP) is Rank.SWEEP
    assert rank_of(Purpose.VERIFY) is Rank.REFRESH
    assert not has_a_caller(Purpose.VERIFY)


def test_the_first_sweep_of_an_empty_cache_may_spend_all() -> None:
    """One of its calls brings a hundred trainings, for which callers wait."""
    assert rank_of(Purpose.WARM) is Rank.CALLER
    assert not has_a_caller(Purpose.WARM)


def test_a_revalidation_ranks_as_a_refresh() -> None:
    """Its caller waits, but the stored response may be served instead."""
    assert rank_of(Purpose.REVALIDATION) is Rank.REFRESH
    assert has_a_caller(Purpose.REVALIDATION)
