from __future__ import annotations

import math

import pytest

from gateway.adapters.telemetry import counters as module
from gateway.adapters.telemetry.counters import (
    POSSIBLE,
    STALE,
    STATUS_CLASSES,
    Counters,
    Histogram,
    status_class,
)
from gateway.core.vocabulary import Outcome, Tier


def test_a_bound_belongs_to_its_bucket() -> None:
    """A value equal to a bound counts below it, as Prometheus' `le` says."""
    histogram = Histogram((1.0, 2.0))

    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)

    assert histogram.buckets == [2, 2, 1]
    assert histogram.total == 7.5


@pytest.mark.parametrize("value", [-3.0, math.nan])
def test_a_nonsensical_value_counts_as_zero(value: float) -> None:
    """A clock set back neither shrinks a sum nor spoils it for ever."""
    histogram = Histogram((1.0,))

    histogram.observe(value)

    assert histogram.buckets == [1, 0]
    assert histogram.total == 0.0


@pytest.mark.parametrize(
    ("status", "word"),
    [(200, "2xx"), (304, "3xx"), (404, "4xx"), (599, "5xx"), (None, "none"), (0, "none")],
)
def test_a_status_has_a_class(status: int | None, word: str) -> None:
    """A call ends with a class of status, or with none."""
    assert status_class(status) == word


def test_requests_start_with_what_can_occur_and_nothing_else() -> None:
    """Each outcome has series before the first request, all at 0. A hit is not from upstream, and a
    rescue is no error. A batch is a success even if each of its items is a failure or a 404."""
    assert dict(Counters().requests) == dict.fromkeys(POSSIBLE, 0)
    assert len(set(POSSIBLE)) == len(POSSIBLE)
    assert {outcome for outcome, _, _ in POSSIBLE} == set(Outcome)
    assert {status for _, _, status in POSSIBLE} == set(STATUS_CLASSES)
    assert {
        (Outcome.FRESH, Tier.L1, "2xx"),
        (Outcome.FRESH, Tier.L2, "3xx"),
        (Outcome.NEGATIVE, Tier.L1, "4xx"),
        (Outcome.FILLED, Tier.UPSTREAM, "2xx"),
        (Outcome.COLLAPSED, Tier.L2, "4xx"),
        (Outcome.FAILED, Tier.NONE, "5xx"),
        (Outcome.FAILED, Tier.NONE, "2xx"),
        (Outcome.NEGATIVE, Tier.L1, "2xx"),
    } <= set(POSSIBLE)
    assert not set(POSSIBLE) & {
        (Outcome.FRESH, Tier.UPSTREAM, "2xx"),
        (Outcome.STALE_ERROR, Tier.L1, "5xx"),
        (Outcome.FILLED, Tier.L1, "2xx"),
        (Outcome.COLLAPSED, Tier.L1, "2xx"),
    }


def test_a_request_counts_by_outcome_tier_and_class() -> None:
    """One answer raises its combination, its outcome's duration and the ages."""
    counters = Counters()

    counters.count_request(Outcome.FRESH, Tier.L1, 304, 0.0002, 12.0)

    assert counters.requests[Outcome.FRESH, Tier.L1, "3xx"] == 1
    assert sum(counters.request_seconds[Outcome.FRESH].buckets) == 1
    assert counters.age.total == 12.0


def test_an_answer_without_an_age_leaves_the_ages_alone() -> None:
    """An error has no age, which is not an age of 0."""
    counters = Counters()

    counters.count_request(Outcome.FAILED, Tier.NONE, 502, 0.1, None)

    assert sum(counters.age.buckets) == 0


@pytest.mark.parametrize("outcome", STALE)
def test_the_oldest_stale_answer_is_noted(outcome: Outcome) -> None:
    """By both ways out, until somebody takes it."""
    counters = Counters()
    counters.count_request(outcome, Tier.L1, 200, 0.001, 40.0)
    count = counters.counting(outcome, Tier.L1, 200)
    for age in (50.0, 45.0):
        count(0.001, age, "shop")

    assert (counters.take_oldest_stale(), counters.take_oldest_stale()) == (50.0, None)
    counters.count_request(outcome, Tier.L2, 304, 0.001, 41.0)
    assert counters.take_oldest_stale() == 41.0
    assert sum(counters.age.buckets) == 4


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - set(STALE)))
def test_other_answers_are_not_stale_however_old(outcome: Outcome) -> None:
    """An entry with a long lifetime is fresh for long."""
    counters = Counters()
    counters.count_request(outcome, Tier.L1, 200, 0.001, 900.0)
    counters.counting(outcome, Tier.L1, 200)(0.001, 900.0, "shop")

    assert counters.take_oldest_stale() is None


def test_a_fresh_hit_pays_nothing_for_stale_ones() -> None:
    """What counts it knows nothing of their age."""
    counters = Counters()
    fresh, stale = (
        counters.counting(outcome, Tier.L1, 200)
        for outcome in (Outcome.FRESH, Outcome.STALE_REFRESHING)
    )

    assert fresh.__code__ is not stale.__code__  # type: ignore[attr-defined]
    assert "self" not in fresh.__code__.co_names  # type: ignore[attr-defined]


def test_an_impossible_combination_is_counted() -> None:
    """What the table rules out is not lost when it happens."""
    counters = Counters()

    counters.count_request(Outcome.FRESH, Tier.NONE, 500, 0.1, None)

    assert counters.requests[Outcome.FRESH, Tier.NONE, "5xx"] == 1


def test_a_client_brings_its_three_results() -> None:
    """The first request of a client makes all of its series, the others at 0."""
    counters = Counters()

    counters.count_client("shop", "served")
    counters.count_client("shop", "served")

    assert counters.clients == {
        ("shop", "served"): 2,
        ("shop", "limited"): 0,
        ("shop", "refused"): 0,
    }


def test_hits_count_as_all_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """In cells of their own: nothing is there that did not occur, and a client that is known has
    its own name, however many there are by then."""
    monkeypatch.setattr(module, "_MOST_CLIENTS", 2)
    counters = Counters()
    for name in ("a", "b"):
        counters.know_clients([name])
    before = dict(counters.requests)
    count = counters.counting(Outcome.NEGATIVE, Tier.L1, 404)
    counters.counting(Outcome.NEGATIVE, Tier.L1, 304)
    assert counters.requests == before

    for client in ("b", "b", "c", "c"):
        count(1e-6, 1.0, client)
    counters.count_request(Outcome.NEGATIVE, Tier.L1, 404, 0.1, 1.0)
    counters.count_client("b", "served")

    assert counters.requests[Outcome.NEGATIVE, Tier.L1, "4xx"] == 5
    assert counters.clients["b", "served"] == 3
    assert counters.clients["other", "served"] == 2
    assert {client for client, _ in counters.clients} == {"a", "b", "other"}


def test_clients_beyond_the_bound_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client's name made of something unbounded cannot fill the memory."""
    monkeypatch.setattr(module, "_MOST_CLIENTS", 2)
    counters = Counters()

    for name in ("a", "b", "c", "d", "d"):
        counters.count_client(name, "served")

    assert {client for client, _ in counters.clients} == {"a", "b", "other"}
    assert counters.clients["other", "served"] == 3
