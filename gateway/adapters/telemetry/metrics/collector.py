"""Counters and readings become metric families, at scrape time and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from gateway.adapters.telemetry.metrics.counters import Counters, Histogram
from gateway.adapters.telemetry.metrics.families import COUNTS, TIMINGS
from gateway.adapters.telemetry.metrics.gauges import GAUGES, OWN_GAUGES, GaugeReadings

Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class CountersCollector(Collector):
    """Hands the numbers to prometheus-client; `readings` None leaves out what is only read."""

    def __init__(
        self, counters: Counters, version: str, readings: Callable[[], GaugeReadings | None]
    ) -> None:
        self._counters = counters
        self._version = version
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """All families of the contract; a family without a source has no series."""
        yield InfoMetricFamily("gateway_build", "What runs here.", {"version": self._version})
        yield from self._counts()
        yield from self._timings()
        yield from self._own_gauges()
        readings = self._readings()
        if readings is not None:
            yield from _gauges(readings)

    def _counts(self) -> Iterator[Metric]:
        for name, text, labels, rows in COUNTS:
            family = CounterMetricFamily(name, text, labels=labels)
            for values, count in rows(self._counters):
                family.add_metric(values, count)
            yield family

    def _timings(self) -> Iterator[Metric]:
        for name, text, labels, series in TIMINGS:
            family = HistogramMetricFamily(name, text, labels=labels)
            for values, histogram in series(self._counters):
                family.add_metric(values, _buckets(histogram), histogram.total)
            yield family

    def _own_gauges(self) -> Iterator[Metric]:
        for name, text, labels, rows in OWN_GAUGES:
            family = GaugeMetricFamily(name, text, labels=labels)
            for values, value in rows(self._counters):
                family.add_metric(values, value)
            yield family


def registry_of(collector: CountersCollector) -> CollectorRegistry:
    """A registry of its own, with the process's figures beside ours."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def encode(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """A scrape's body and its content type: OpenMetrics where `accept` asks, else text."""
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def _gauges(readings: GaugeReadings) -> Iterator[Metric]:
    for name, text, labels, rows in GAUGES:
        family = GaugeMetricFamily(name, text, labels=labels)
        for values, value in rows(readings):
            family.add_metric(values, value)
        yield family


def _buckets(histogram: Histogram) -> list[Bucket]:
    """Cumulative, by upper bound, each with its exemplar, which only OpenMetrics can tell."""
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    exemplars = dict(histogram.exemplars)
    counts = accumulate(histogram.buckets)
    return [
        (bound, count) if at not in exemplars else (bound, count, _exemplar(*exemplars[at]))
        for at, (bound, count) in enumerate(zip(bounds, counts, strict=True))
    ]


def _exemplar(trace: bytes, seconds: float) -> Exemplar:
    """Without a time of its own: a scraper takes the moment when it sees it first."""
    return Exemplar({"trace_id": trace.decode("ascii")}, seconds)
