"""The name, the help text, the labels and the source of each metric.

Nothing is counted here: the sources are read at each scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TypeVar

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

from gateway.adapters.telemetry.counters import Counters, Histogram
from gateway.adapters.telemetry.event_log import ERROR, Events
from gateway.core.sweep.progress import SweepState
from gateway.core.vocabulary import Circuit, Mode, Tier
from gateway.ports import BudgetView

S = TypeVar("S", bound=str)
T = TypeVar("T", bound=tuple[str, ...])
Labels = tuple[str, ...]
Row = tuple[Labels, float]
Series = tuple[Labels, Histogram]

Source = TypeVar("Source")
Table = tuple[tuple[str, str, Labels, Callable[[Source], list[Row]]], ...]

# Each item of the following tables is a metric: its name (without `_total`), its help text, the
# names of its labels, and the function that reads its values.
COUNTS: Table[Counters] = (
    (
        "gateway_requests",
        "Requests to the data plane, by how they ended and where the answer came from.",
        ("outcome", "tier", "status"),
        lambda counters: _rows(counters.requests),
    ),
    (
        "gateway_batch_items",
        "Trainings of requests for several trainings, by how each was answered.",
        ("outcome",),
        lambda counters: _single(counters.items),
    ),
    (
        "gateway_client_requests",
        "Requests by client, and whether they were served.",
        ("client", "result"),
        lambda counters: _rows(counters.clients),
    ),
    (
        "gateway_upstream_requests",
        "Calls to the upstream, by purpose and by class of status.",
        ("purpose", "status"),
        lambda counters: _rows(counters.calls),
    ),
    (
        "gateway_upstream_failures",
        "Calls to the upstream that failed: no usable response of the API came.",
        ("reason",),
        lambda counters: _single(counters.failures),
    ),
    (
        "gateway_budget_denied",
        "Calls that were not made because no budget was left or the gate was closed.",
        ("purpose",),
        lambda counters: _single(counters.denied),
    ),
    (
        "gateway_invalidations",
        "Entries that became invalid. After a write the cause is `write` in the replica that "
        "forwarded it, and `event` in the others.",
        ("cause",),
        lambda counters: _single(counters.invalidations),
    ),
    (
        "gateway_payload_rejected",
        "Bodies that are no training. They are refused and not stored.",
        ("reason",),
        lambda counters: _single(counters.rejected),
    ),
    (
        "gateway_payload_drift",
        "Differences from the API's documentation, found in bodies that were accepted.",
        ("kind",),
        lambda counters: _single(counters.drift),
    ),
    (
        "gateway_version_regressions",
        "Responses of the upstream with a version older than the known version of the training.",
        (),
        lambda counters: [((), counters.regressions)],
    ),
    (
        "gateway_cache_evictions",
        "Entries removed for space.",
        ("tier",),
        lambda counters: _single(counters.evictions),
    ),
    (
        "gateway_redis_errors",
        "Requests to Redis that got no answer, or an answer that makes no sense.",
        ("operation",),
        lambda counters: _single(counters.redis_errors),
    ),
    (
        "gateway_access_refused",
        "Requests and connections that were refused.",
        ("reason",),
        lambda counters: _single(counters.refusals),
    ),
    (
        "gateway_orders",
        "Orders that this replica carried out, by order and operator.",
        ("order", "operator"),
        lambda counters: _rows(counters.orders),
    ),
    (
        "gateway_sweeps",
        "Sweeps of the list that this replica led, by how they ended.",
        ("end",),
        lambda counters: _single(counters.sweeps),
    ),
    (
        "gateway_log_lines_dropped",
        "Log lines that were lost because standard output did not accept them.",
        (),
        lambda counters: [((), counters.log_lines_dropped)],
    ),
    (
        "gateway_trace_spans",
        "Spans of kept traces, by whether the collector got them.",
        ("result",),
        lambda counters: _single(counters.spans),
    ),
)

TIMINGS: tuple[tuple[str, str, Labels, Callable[[Counters], list[Series]]], ...] = (
    (
        "gateway_request_duration_seconds",
        "Time to answer a request to the data plane.",
        ("outcome",),
        lambda counters: _series(counters.request_seconds),
    ),
    (
        "gateway_response_age_seconds",
        "Age of the responses that were served, from the cache or from the upstream.",
        (),
        lambda counters: [((), counters.age)],
    ),
    (
        "gateway_upstream_request_duration_seconds",
        "Time of a call to the upstream, answered or not.",
        ("purpose",),
        lambda counters: _series(counters.call_seconds),
    ),
    (
        "gateway_budget_wait_seconds",
        "Time that a call had to wait before it was sent; calls without a wait are not counted.",
        ("purpose",),
        lambda counters: _series(counters.wait_seconds),
    ),
    (
        "gateway_freshness_lag_seconds",
        "Time from the updated_at of a new version to the moment from which it is served.",
        (),
        lambda counters: [((), counters.freshness_lag)],
    ),
    (
        "gateway_redis_request_duration_seconds",
        "Time of a request that Redis answered.",
        ("operation",),
        lambda counters: _series(counters.redis_seconds),
    ),
)


# `list` copies the counts in one step, because another thread could add a count meanwhile.
def _rows(counts: Mapping[T, int]) -> list[Row]:
    return [(labels, count) for labels, count in list(counts.items())]


def _single(counts: Mapping[S, int]) -> list[Row]:
    return [((label,), count) for label, count in list(counts.items())]


def _series(histograms: Mapping[S, Histogram]) -> list[Series]:
    return [((label,), histogram) for label, histogram in histograms.items()]


@dataclass(frozen=True, slots=True)
class GaugeReadings:
    """The state of this replica now. If a field is None, its metric has no series.

    budgets          by tenant. Empty if each credential has a budget: that would be too many series
    limits           the configured limits by tenant. A 429 lowers the limit in `budgets`
    replicas         how many replicas are alive, and how many are expected at most
    loop_lag         seconds, see `LoopLag`
    sweep_confirmed  age in seconds of the oldest confirmation by a sweep
    sweep_states     the state of each sweep
    missing          answers 404 or 410 of the API since its last answer with a training or a list
    """

    ready: bool
    draining: bool
    l1_entries: int
    l1_bytes: int
    collapsed_waiters: int = 0
    circuit: Circuit = Circuit.CLOSED
    budgets: Mapping[str, BudgetView] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    replicas: int = 1
    expected_replicas: int = 1
    redis_up: bool | None = None
    bus_connected: bool | None = None
    loop_lag: float | None = None
    sweep_confirmed: float | None = None
    sweep_states: Sequence[SweepState] = ()
    clients_reloaded: bool | None = None
    tokens_reloaded: bool | None = None
    missing: int = 0
    mode: Mode = Mode.NORMAL
    is_warming: bool = False


GAUGES: Table[GaugeReadings] = (
    (
        "gateway_upstream_circuit_state",
        "State of the breaker: 1 for the present state, 0 for the others.",
        ("state",),
        lambda now: [((state,), state is now.circuit) for state in Circuit],
    ),
    (
        "gateway_budget_limit",
        "Calls that the tenant may make in a window; no series if that is unlimited.",
        ("tenant",),
        lambda now: _known({(name,): view.limit for name, view in now.budgets.items()}),
    ),
    (
        "gateway_budget_available",
        "Calls that the tenant may still make now; no series if that is unlimited.",
        ("tenant",),
        lambda now: _known({(name,): view.available for name, view in now.budgets.items()}),
    ),
    (
        "gateway_gate_closed",
        "Whether the tenant's gate is closed, because the upstream answered 429.",
        ("tenant",),
        lambda now: [((name,), view.gate_closed_for > 0) for name, view in now.budgets.items()],
    ),
    (
        "gateway_cache_entries",
        "Entries in the cache.",
        ("tier",),
        lambda now: [((Tier.L1,), now.l1_entries)],
    ),
    (
        "gateway_cache_bytes",
        "Bytes of memory that the entries in the cache take.",
        ("tier",),
        lambda now: [((Tier.L1,), now.l1_bytes)],
    ),
    (
        "gateway_collapsed_waiters",
        "Requests that wait for a fetch that another request started.",
        (),
        lambda now: [((), now.collapsed_waiters)],
    ),
    (
        "gateway_redis_up",
        "Whether Redis answered when it was last asked; no series without Redis.",
        (),
        lambda now: _known({(): now.redis_up}),
    ),
    (
        "gateway_bus_connected",
        "Whether this replica hears the other replicas; no series without Redis.",
        (),
        lambda now: _known({(): now.bus_connected}),
    ),
    ("gateway_ready", "Whether /readyz answers 200.", (), lambda now: [((), now.ready)]),
    (
        "gateway_warming",
        "Whether the cache began empty (a first start, or a Redis that lost its data) and is being "
        "filled; for ten minutes at most.",
        (),
        lambda now: [((), now.is_warming)],
    ),
    (
        "gateway_draining",
        "Whether the replica is about to stop, and drains.",
        (),
        lambda now: [((), now.draining)],
    ),
    (
        "gateway_mode",
        "Mode of all replicas, set by operators: 1 for the present mode, 0 for the others.",
        ("mode",),
        lambda now: [((mode,), mode is now.mode) for mode in Mode],
    ),
    (
        "gateway_event_loop_lag_seconds",
        "Longest delay of the event loop in the last 15 seconds.",
        (),
        lambda now: _known({(): now.loop_lag}),
    ),
    (
        "gateway_sweep_confirmed_seconds",
        "Age of the oldest confirmation. The sweep confirmed each training then or later.",
        (),
        lambda now: _known({(): now.sweep_confirmed}),
    ),
    (
        "gateway_sweep_state",
        "Sweeps of the list by their state. `behind`: the list is older than answers for single "
        "trainings; `off`: the API refused the list.",
        ("state",),
        lambda now: [((state,), now.sweep_states.count(state)) for state in SweepState],
    ),
    (
        "gateway_clients_last_reload_successful",
        "Whether the last change of the clients file was accepted.",
        (),
        lambda now: _known({(): now.clients_reloaded}),
    ),
    (
        "gateway_tokens_last_reload_successful",
        "Whether the last change of the tokens file was accepted.",
        (),
        lambda now: _known({(): now.tokens_reloaded}),
    ),
)

# Gauges that are read from `Counters`. They can be read even if `GAUGES` cannot.
OWN_GAUGES: Table[Counters] = (
    (
        "gateway_upstream_inflight",
        "Calls to the upstream under way.",
        (),
        lambda counters: [((), counters.calls_inflight)],
    ),
    (
        "gateway_upstream_last_success_timestamp_seconds",
        "Time of the last successful answer of the API; no series before the first one.",
        (),
        lambda counters: _known({(): counters.last_success}),
    ),
)


def _known(readings: Mapping[T, float | None]) -> list[Row]:
    return [(labels, value) for labels, value in readings.items() if value is not None]


Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class Metrics(Collector):
    """Answers scrapes, from `counters` and from what `readings` returns. If that fails, the scrape
    has no gauges, which is better than no scrape. The failure is logged in `events`."""

    def __init__(
        self,
        counters: Counters,
        events: Events,
        version: str,
        readings: Callable[[], GaugeReadings],
    ) -> None:
        self._counters = counters
        self._events = events
        self._version = version
        self._readings = readings
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def scrape(self, accept: str = "") -> tuple[Iterator[bytes], str]:
        """The body of the response to a scrape, and its content type: OpenMetrics if `accept` asks
        for it, otherwise text.

        Making the whole body takes milliseconds of CPU. So it comes in pieces, one for each family,
        and requests can run between two pieces.
        """
        try:
            encoder, content_type = choose_encoder(accept)
        except TypeError:  # `accept` names a version that is not made of numbers
            encoder, content_type = choose_encoder("")
        return _pieces(self._registry, encoder), content_type

    def read(self) -> GaugeReadings | None:
        """The gauges now (None: they cannot be read)."""
        with suppress(Exception):
            return self._readings()
        self._events.emit(ERROR, "telemetry.gauges-unread")
        return None

    def collect(self) -> Iterator[Metric]:
        """One family (a metric with all its series) for each metric that can be read."""
        yield InfoMetricFamily(
            "gateway_build", "Version of the gateway.", {"version": self._version}
        )
        yield from _families(CounterMetricFamily, COUNTS, self._counters)
        yield from self._timings()
        yield from _families(GaugeMetricFamily, OWN_GAUGES, self._counters)
        readings = self.read()
        if readings is not None:
            yield from _families(GaugeMetricFamily, GAUGES, readings)

    def _timings(self) -> Iterator[Metric]:
        for name, text, labels, series in TIMINGS:
            family = HistogramMetricFamily(name, text, labels=labels)
            for values, histogram in series(self._counters):
                family.add_metric(values, _buckets(histogram), histogram.total)
            yield family


def _pieces(registry: CollectorRegistry, encoder: Callable[[Collector], bytes]) -> Iterator[bytes]:
    end = encoder(CollectorRegistry())  # the last line of OpenMetrics (empty for text)
    for family in registry.collect():
        yield encoder(_OneFamily(family)).removesuffix(end)
    yield end


class _OneFamily(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def _families(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    table: Table[Source],
    source: Source,
) -> Iterator[Metric]:
    for name, text, labels, rows in table:
        family = kind(name, text, labels=labels)
        for values, value in rows(source):
            family.add_metric(values, value)
        yield family


def _buckets(histogram: Histogram) -> list[Bucket]:
    """The cumulative counts by upper bound. Only OpenMetrics shows the exemplars."""
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    exemplars = dict(histogram.exemplars)
    counts = accumulate(histogram.buckets)
    return [
        (bound, count) if at not in exemplars else (bound, count, _exemplar(*exemplars[at]))
        for at, (bound, count) in enumerate(zip(bounds, counts, strict=True))
    ]


def _exemplar(trace: bytes, seconds: float) -> Exemplar:
    """An exemplar without a time. The scraper uses its own time."""
    return Exemplar({"trace_id": trace.decode("ascii")}, seconds)
