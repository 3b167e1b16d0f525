from __future__ import annotations

import pytest

from gateway.adapters.telemetry.counters import POSSIBLE, STATUS_CLASSES
from gateway.core.vocabulary import Outcome, Tier


def test_every_outcome_can_end_somehow() -> None:
    """No outcome is forgotten in the table."""
    assert {outcome for outcome, _, _ in POSSIBLE} == set(Outcome)


def test_no_combination_stands_twice() -> None:
    """Each line of the table adds series of its own, of the contract's status classes."""
    assert len(set(POSSIBLE)) == len(POSSIBLE)
    assert {status for _, _, status in POSSIBLE} == set(STATUS_CLASSES)


@pytest.mark.parametrize(
    ("outcome", "tier", "status"),
    [
        (Outcome.FRESH, Tier.L1, "2xx"),
        (Outcome.FRESH, Tier.L2, "3xx"),
        (Outcome.NEGATIVE, Tier.L1, "4xx"),
        (Outcome.FILLED, Tier.UPSTREAM, "2xx"),
        (Outcome.COLLAPSED, Tier.UPSTREAM, "2xx"),
        (Outcome.COLLAPSED, Tier.L2, "4xx"),
        (Outcome.FAILED, Tier.NONE, "5xx"),
        (Outcome.FAILED, Tier.UPSTREAM, "5xx"),
    ],
)
def test_what_happens_every_day_can_happen(outcome: Outcome, tier: Tier, status: str) -> None:
    """Hits, fills and errors of our own are in the table."""
    assert (outcome, tier, status) in POSSIBLE


@pytest.mark.parametrize(
    ("outcome", "tier", "status"),
    [
        (Outcome.FRESH, Tier.UPSTREAM, "2xx"),
        (Outcome.STALE_ERROR, Tier.L1, "5xx"),
        (Outcome.NEGATIVE, Tier.L1, "2xx"),
        (Outcome.FILLED, Tier.L1, "2xx"),
        (Outcome.COLLAPSED, Tier.L1, "2xx"),
        (Outcome.FAILED, Tier.NONE, "2xx"),
        (Outcome.FAILED, Tier.NONE, "4xx"),
    ],
)
def test_what_would_contradict_itself_cannot(outcome: Outcome, tier: Tier, status: str) -> None:
    """A hit is not from upstream, a rescue is no error, a failure no success."""
    assert (outcome, tier, status) not in POSSIBLE
