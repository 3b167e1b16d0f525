from __future__ import annotations

import pytest

from gateway.adapters.telemetry.counters import Counters, Histogram
from gateway.adapters.telemetry.live_figures import figures, hit_rate, quantile
from gateway.core.vocabulary import Outcome, Tier


def test_before_the_first_request_all_is_zero() -> None:
    """The page has numbers to show from the start."""
    assert set(figures(Counters()).values()) == {0}


def test_the_hit_rate_leaves_out_the_rejected() -> None:
    """Fresh, stale and negative answers are hits; a refused request is in no rate."""
    outcomes = {
        **dict.fromkeys(Outcome, 0),
        Outcome.FRESH: 4,
        Outcome.STALE_ERROR: 1,
        Outcome.NEGATIVE: 1,
        Outcome.FILLED: 2,
        Outcome.REJECTED: 100,
    }

    assert hit_rate(outcomes) == 0.75


def test_requests_are_split_by_outcome() -> None:
    """Tiers and statuses of an outcome are added up."""
    counters = Counters()
    counters.count_request(Outcome.FRESH, Tier.L1, 200, 0.001, 1.0)
    counters.count_request(Outcome.FRESH, Tier.L2, 304, 0.001, 1.0)
    counters.count_request(Outcome.FAILED, Tier.NONE, 504, 1.0, None)

    found = figures(counters)

    assert found["requests"] == 3
    assert found["requests.fresh"] == 2
    assert found["requests.failed"] == 1


def test_a_quantile_lies_on_a_line_within_its_bucket() -> None:
    """Of four values between 1 and 2, half are estimated to be below 1.5."""
    histogram = Histogram((1.0, 2.0, 4.0))
    for _ in range(4):
        histogram.observe(1.9)

    assert quantile([histogram], 0.5) == 1.5


def test_a_quantile_is_over_all_histograms_together() -> None:
    """The slow one of ten lies in another histogram, and is the 99th percentile all the same."""
    fast, slow = Histogram((1.0, 2.0)), Histogram((1.0, 2.0))
    for _ in range(9):
        fast.observe(0.5)
    slow.observe(1.5)

    assert quantile([fast, slow], 0.99) == pytest.approx(1.9)


def test_beyond_the_last_bound_a_quantile_is_that_bound() -> None:
    """Nothing is invented where nothing is known."""
    histogram = Histogram((1.0, 2.0))
    histogram.observe(50.0)

    assert quantile([histogram], 0.5) == 2.0
