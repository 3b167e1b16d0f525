from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.adapters.telemetry.observer import Telemetry
from gateway.core.vocabulary import Outcome, Purpose, Tier
from gateway.ports import BudgetView
from tests.unit.adapters.telemetry.stand_ins import ListLog, ManualClock, metrics_of, samples

EVERYTHING = GaugeReadings(
    ready=True,
    draining=False,
    l1_entries=1,
    l1_bytes=1,
    budgets={"default": BudgetView(100, 60.0, 99, 0.0)},
    redis_up=True,
    bus_connected=True,
    loop_lag=0.0,
    sweep_confirmed=1.0,
    clients_reloaded=True,
)


@pytest.fixture
def telemetry() -> Telemetry:
    """One that has everything to tell."""
    return Telemetry(ManualClock(), ListLog())


def scraped(telemetry: Telemetry, accept: str = "") -> bytes:
    """The body of a scrape."""
    return b"".join(metrics_of(telemetry, lambda: EVERYTHING).scrape(accept)[0])


def _lines(telemetry: Telemetry) -> list[str]:
    return [line for line in scraped(telemetry).decode().splitlines() if line[0] != "#"]


def _ours(found: Mapping[str, float]) -> dict[str, float]:
    pattern = re.compile(r"gateway_\w+(_total|_count|_sum|_bucket)\b")
    return {name: value for name, value in found.items() if pattern.match(name)}


def test_the_series_stay_within_the_promise(telemetry: Telemetry) -> None:
    """At most 800 series, and three more for a client."""
    telemetry.connections.call_ended(Purpose.MISS, 200, 0.1)
    before = len(_lines(telemetry))

    telemetry.requests.client_result("shop", "served")

    assert before <= 800
    assert len(_lines(telemetry)) == before + 3


def test_a_sampled_trace_is_the_exemplar_of_its_bucket(telemetry: Telemetry) -> None:
    """The last one of each bucket, in OpenMetrics alone; what is not traced leaves it there."""
    for seconds, trace in (
        (0.003, b"a" * 32),
        (0.004, b"b" * 32),
        (0.0041, None),
        (20.0, b"c" * 32),
    ):
        telemetry.requests.requested(Outcome.FILLED, Tier.UPSTREAM, 200, seconds, 0.0, trace=trace)
    telemetry.connections.call_ended(Purpose.MISS, 200, 0.02, b"d" * 32)

    text = scraped(telemetry, "application/openmetrics-text; version=1.0.0").decode()
    found = {
        (sample.name, sample.labels["le"]): (sample.exemplar.labels, sample.exemplar.value)
        for family in openmetrics(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    }

    assert found == {
        ("gateway_request_duration_seconds_bucket", "0.005"): ({"trace_id": "b" * 32}, 0.004),
        ("gateway_request_duration_seconds_bucket", "+Inf"): ({"trace_id": "c" * 32}, 20.0),
        ("gateway_upstream_request_duration_seconds_bucket", "0.025"): (
            {"trace_id": "d" * 32},
            0.02,
        ),
    }
    assert b"trace_id" not in scraped(telemetry)


def test_all_counts_start_at_zero(telemetry: Telemetry) -> None:
    """Counters and histograms of the house exist before anything happened."""
    counts = _ours(samples(telemetry, lambda: EVERYTHING))

    assert len(counts) > 500
    assert set(counts.values()) == {0.0}


def test_buckets_add_up(telemetry: Telemetry) -> None:
    """A bucket counts all that is at most its bound; count and sum agree with it."""
    for seconds in (0.00005, 0.003, 20.0):
        telemetry.requests.requested(Outcome.FRESH, Tier.L1, 200, seconds, None)

    found = samples(telemetry, lambda: EVERYTHING)

    name = "gateway_request_duration_seconds"
    assert found[f'{name}_bucket{{le="5e-05",outcome="fresh"}}'] == 1
    assert found[f'{name}_bucket{{le="0.005",outcome="fresh"}}'] == 2
    assert found[f'{name}_bucket{{le="10.0",outcome="fresh"}}'] == 2
    assert found[f'{name}_bucket{{le="+Inf",outcome="fresh"}}'] == 3
    assert found[f'{name}_count{{outcome="fresh"}}'] == 3
    assert found[f'{name}_sum{{outcome="fresh"}}'] == pytest.approx(20.00305)


def test_the_version_is_told(telemetry: Telemetry) -> None:
    """Which build runs is a label of a series that is always 1."""
    assert samples(telemetry, lambda: EVERYTHING)['gateway_build_info{version="1.2.3"}'] == 1


@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
def test_a_version_that_is_none_gets_text(telemetry: Telemetry, kind: str) -> None:
    """`Accept` comes from any program, and the library fails at such a version."""
    _, content_type = metrics_of(telemetry, lambda: EVERYTHING).scrape(f"{kind}; version=x")

    assert content_type.startswith("text/plain; version=0.0.4")


def test_openmetrics_is_spoken_to_who_asks(telemetry: Telemetry) -> None:
    """The same numbers in OpenMetrics, as its own parser accepts them."""
    telemetry.requests.requested(Outcome.FILLED, Tier.UPSTREAM, 200, 0.2, 0.0)

    pieces, content_type = metrics_of(telemetry, lambda: EVERYTHING).scrape(
        "application/openmetrics-text; version=1.0.0"
    )
    body = b"".join(pieces)

    families = {family.name: family for family in openmetrics(body.decode())}  # type: ignore[no-untyped-call]
    assert content_type.startswith("application/openmetrics-text")
    assert families["gateway_requests"].type == "counter"
    assert families["gateway_build"].type == "info"


def test_no_series_tells_when_it_was_made(telemetry: Telemetry) -> None:
    """`_created` series would double what is stored and tell nothing."""
    assert b"_created" not in scraped(telemetry, "application/openmetrics-text; version=1.0.0")


def test_a_scrape_comes_in_pieces_of_one_family(telemetry: Telemetry) -> None:
    """So that requests have their turn in between; OpenMetrics says once where it ends."""
    pieces = [
        *metrics_of(telemetry, lambda: EVERYTHING).scrape(
            "application/openmetrics-text; version=1.0.0"
        )[0]
    ]

    assert len(pieces) > 20
    assert all(piece.count(b"# TYPE") == 1 for piece in pieces[:-1])
    assert [piece.endswith(b"# EOF\n") for piece in pieces] == [False] * (len(pieces) - 1) + [True]
