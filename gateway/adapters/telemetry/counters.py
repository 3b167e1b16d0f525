"""The counts of this process, as plain numbers.

Most counts are in dictionaries, whose keys are the label values of a metric. Nearly every key that
can occur has the count 0 from the start. Only two kinds of keys are added later: the keys for
clients, operators and spans, and a few keys that occur only with `freshness.source = "origin"`.

A count is only a dictionary entry or a list item, which is fast: each hit changes several counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeVar

from gateway.core.budget.priority import has_a_caller
from gateway.core.http.traceparent import ID, SAMPLED
from gateway.core.sweep.progress import SweepEnd
from gateway.core.vocabulary import (
    AccessRefusal,
    Cause,
    DriftKind,
    FailureReason,
    InvalidReason,
    Outcome,
    Purpose,
    RedisOperation,
    Right,
    SpanFate,
    Tier,
)
from gateway.ports import Count

STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")

_STORED = (Tier.L1, Tier.L2)
_FETCHED = (Tier.UPSTREAM,)
_NOWHERE = (Tier.NONE,)

# 2xx: the training. 3xx: a 304. 4xx: there is no such training (404, 410).
_FOUND = ("2xx", "3xx")
_FOUND_OR_NOT = ("2xx", "3xx", "4xx")

_CAN_END: tuple[tuple[Outcome, tuple[Tier, ...], tuple[str, ...]], ...] = (
    (Outcome.FRESH, _STORED, _FOUND),
    (Outcome.STALE_REFRESHING, _STORED, _FOUND),
    (Outcome.STALE_ERROR, _STORED, _FOUND),
    (Outcome.STALE_SHIELDED, _STORED, _FOUND),
    (Outcome.NEGATIVE, _STORED, _FOUND_OR_NOT),
    (Outcome.FILLED, _FETCHED, _FOUND_OR_NOT),
    (Outcome.REVALIDATED, _FETCHED, _FOUND_OR_NOT),
    # L2: another replica made the call.
    (Outcome.COLLAPSED, (Tier.L2, *_FETCHED), _FOUND_OR_NOT),
    # A write can get any status.
    (Outcome.BYPASSED, _FETCHED, STATUS_CLASSES),
    # The API refused the caller.
    (Outcome.REJECTED, _FETCHED, ("4xx",)),
    # The gateway refused the request; 5xx is the 504 of `only-if-cached`.
    # 2xx: a batch in which each item has a problem.
    (Outcome.REJECTED, _NOWHERE, ("2xx", "4xx", "5xx")),
    # UPSTREAM: with `freshness.source = "origin"`, a 5xx of the API was passed on.
    (Outcome.FAILED, (Tier.NONE, *_FETCHED), ("2xx", "5xx")),
)

POSSIBLE: tuple[tuple[Outcome, Tier, str], ...] = tuple(
    (outcome, tier, status)
    for outcome, tiers, statuses in _CAN_END
    for tier in tiers
    for status in statuses
)

NO_ANSWER = "none"
STALE = (Outcome.STALE_REFRESHING, Outcome.STALE_ERROR, Outcome.STALE_SHIELDED)
_SERVED = "served"
CLIENT_RESULTS = (_SERVED, "limited", "refused")
ORDERS = (Right.INVALIDATE, Right.PURGE, Right.MODE)
# The clients file could have very many clients by mistake. Clients above this number are counted
# together, under the name `other`, so that their counts do not fill the memory.
_MOST_CLIENTS = 10_000
OTHER_CLIENTS = "other"

# Upper bounds in seconds, inclusive. Two bounds are also the objectives for latency: 10 ms for
# hits, and 1 s for all requests.
REQUEST_SECONDS = (
    *(50e-6, 100e-6, 250e-6, 500e-6, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_SHORTEST = REQUEST_SECONDS[0]
CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
WAIT_SECONDS = (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0)
REDIS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
AGE_SECONDS = (
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0),
    *(21_600.0, 86_400.0),
)
LAG_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0, 3_600.0)

_CLASS_OF = {status: f"{status // 100}xx" for status in range(200, 600)}.get

Kind = tuple[Outcome, Tier, str]
K = TypeVar("K")
Tally = defaultdict[K, int]


class Histogram:
    """Counts values by size. Bucket n counts the values above bound n - 1, up to bound n. The last
    bucket counts the values above all bounds.

    `total` is the sum of all values. For a bucket, `exemplars` has the last trace that was given
    with a value, and this value.
    """

    __slots__ = ("bounds", "buckets", "exemplars", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, tuple[bytes, float]] = {}

    def observe(self, value: float, trace: bytes | None = None) -> None:
        """Count one value. A value below 0, or NaN, counts as 0. Otherwise `total` would
        decrease, or become NaN."""
        if not value > 0.0:
            value = 0.0
        at = bisect_left(self.bounds, value)
        self.buckets[at] += 1
        self.total += value
        if trace is not None:
            self.exemplars[at] = (trace, value)


def status_class(status: int | None) -> str:
    """The label for the status of a call: `2xx` to `5xx`, or `none`."""
    return _CLASS_OF(status or 0, NO_ANSWER)


def _zeros(keys: Iterable[K]) -> Tally[K]:
    return defaultdict(int, dict.fromkeys(keys, 0))


def _per_purpose(bounds: tuple[float, ...]) -> dict[Purpose, Histogram]:
    return {purpose: Histogram(bounds) for purpose in Purpose}


@dataclass(slots=True)
class Counters:
    """All numbers of this process. Most of them only grow."""

    # `counting` returns functions. Each of them changes one list of `_hits`, and need not look up
    # this list for each hit. `requests` adds `_hits` to `_requests`.
    _requests: Tally[Kind] = field(default_factory=lambda: _zeros(POSSIBLE))
    _hits: dict[Kind, list[int]] = field(default_factory=dict)
    request_seconds: dict[Outcome, Histogram] = field(
        default_factory=lambda: {outcome: Histogram(REQUEST_SECONDS) for outcome in Outcome}
    )
    age: Histogram = field(default_factory=lambda: Histogram(AGE_SECONDS))
    items: Tally[Outcome] = field(default_factory=lambda: _zeros(Outcome))
    _clients: dict[tuple[str, str], int] = field(default_factory=dict)
    _served: dict[str, list[int]] = field(default_factory=dict)
    calls: Tally[tuple[Purpose, str]] = field(
        default_factory=lambda: _zeros(
            (purpose, status) for purpose in Purpose for status in (*STATUS_CLASSES, NO_ANSWER)
        )
    )
    call_seconds: dict[Purpose, Histogram] = field(
        default_factory=lambda: _per_purpose(CALL_SECONDS)
    )
    calls_inflight: int = 0
    oldest_stale: float | None = None
    last_success: float | None = None
    missing_in_a_row: int = 0  # answers 404 or 410 since the last answer with a training
    failures: Tally[FailureReason] = field(default_factory=lambda: _zeros(FailureReason))
    denied: Tally[Purpose] = field(default_factory=lambda: _zeros(Purpose))
    # Only calls for which a caller waits may wait for the budget.
    wait_seconds: dict[Purpose, Histogram] = field(
        default_factory=lambda: {
            purpose: Histogram(WAIT_SECONDS) for purpose in Purpose if has_a_caller(purpose)
        }
    )
    invalidations: Tally[Cause] = field(default_factory=lambda: _zeros(Cause))
    freshness_lag: Histogram = field(default_factory=lambda: Histogram(LAG_SECONDS))
    rejected: Tally[InvalidReason] = field(default_factory=lambda: _zeros(InvalidReason))
    rows: int = 0  # of the pages of the list that were read
    sweeps: Tally[SweepEnd] = field(default_factory=lambda: _zeros(SweepEnd))
    drift: Tally[DriftKind] = field(default_factory=lambda: _zeros(DriftKind))
    regressions: int = 0
    # L1 only, because Redis does not say what it evicts.
    evictions: Tally[Tier] = field(default_factory=lambda: _zeros((Tier.L1,)))
    redis_seconds: dict[RedisOperation, Histogram] = field(
        default_factory=lambda: {each: Histogram(REDIS_SECONDS) for each in RedisOperation}
    )
    redis_errors: Tally[RedisOperation] = field(default_factory=lambda: _zeros(RedisOperation))
    refusals: Tally[AccessRefusal] = field(default_factory=lambda: _zeros(AccessRefusal))
    orders: Tally[tuple[str, str]] = field(default_factory=lambda: _zeros(()))
    log_lines_dropped: int = 0
    spans: Tally[SpanFate] = field(default_factory=lambda: _zeros(()))

    @property
    def requests(self) -> Tally[Kind]:
        """How many requests were answered, by outcome, tier and class of status."""
        total = self._requests.copy()
        for kind, (hits,) in self._hits.items():
            if hits:
                total[kind] += hits
        return total

    @property
    def clients(self) -> dict[tuple[str, str], int]:
        """Requests by client and result."""
        total = self._clients.copy()
        for client, (served,) in self._served.items():
            total[client, _SERVED] += served
        return total

    def count_evicted(self) -> None:
        """Count an entry that L1 evicted."""
        self.evictions[Tier.L1] += 1

    def count_lost_line(self) -> None:
        """Count a log line that was lost."""
        self.log_lines_dropped += 1

    def count_items(self, outcomes: Iterable[Outcome]) -> None:
        """Count the trainings of one request for several."""
        for outcome in outcomes:
            self.items[outcome] += 1

    def count_request(
        self,
        outcome: Outcome,
        tier: Tier,
        status: int,
        seconds: float,
        age: float | None,
        *,
        trace: bytes | None = None,
    ) -> None:
        """Count one request that was answered. A `status` outside 200–599 counts as `5xx`."""
        self._requests[outcome, tier, _CLASS_OF(status, "5xx")] += 1
        self.request_seconds[outcome].observe(seconds, trace)
        if age is not None:
            self.age.observe(age)
            if outcome in STALE:
                self._note_stale(age)

    def counting(self, outcome: Outcome, tier: Tier, status: int) -> Count:
        """A function that counts hits of this kind, faster than `count_request` and
        `count_client`. It repeats the code of `Histogram.observe` (without the check of the value),
        because a call takes time."""
        hits = self._hits.setdefault((outcome, tier, _CLASS_OF(status, "5xx")), [0])
        times, ages = self.request_seconds[outcome], self.age
        time_buckets, age_buckets, served = times.buckets, ages.buckets, self._served
        exemplars = times.exemplars

        def count(  # noqa: PLR0917 -- keyword arguments take longer
            seconds: float,
            age: float,
            client: str,
            traceparent: bytes | None = None,
            training_id: str = "",
            is_head: bool = False,
        ) -> None:
            hits[0] += 1
            at = 0 if seconds <= _SHORTEST else bisect_left(REQUEST_SECONDS, seconds)
            time_buckets[at] += 1
            if traceparent is not None and traceparent[-1] in SAMPLED:
                exemplars[at] = (traceparent[ID], seconds)
            times.total += seconds
            age_buckets[bisect_left(AGE_SECONDS, age)] += 1
            ages.total += age
            try:
                served[client][0] += 1
            except KeyError:
                served.setdefault(self._counted_name(client), [0])[0] += 1

        def count_stale(seconds: float, age: float, client: str, *rest: Any) -> None:
            self._note_stale(age)
            count(seconds, age, client, *rest)

        return count_stale if outcome in STALE else count

    def take_oldest_stale(self) -> float | None:
        """The greatest age (seconds) of a stale answer since this method was last called (None: no
        stale answer)."""
        oldest, self.oldest_stale = self.oldest_stale, None
        return oldest

    def _note_stale(self, age: float) -> None:
        if self.oldest_stale is None or age > self.oldest_stale:
            self.oldest_stale = age

    def count_client(self, client: str, result: str) -> None:
        """Count a client's request."""
        try:
            self._clients[client, result] += 1
        except KeyError:
            self._clients[self._counted_name(client), result] += 1

    def know_clients(self, clients: Iterable[str]) -> None:
        """Create the counts of clients (one for each result), with the value 0."""
        for client in clients:
            self._counted_name(client)

    def know_operators(self, operators: Iterable[str]) -> None:
        """Create the counts of operators (one for each order), with the value 0."""
        for order in product(ORDERS, operators):
            self.orders.setdefault(order, 0)

    def know_spans(self) -> None:
        """Create the counts of spans (one for each fate), with the value 0."""
        self.spans.update(dict.fromkeys(SpanFate, 0))

    def _counted_name(self, client: str) -> str:
        """The name under which the client is counted (`other` if there are too many clients).
        Creates the counts of this name, with the value 0."""
        if (client, _SERVED) in self._clients:
            return client
        name = client if len(self._clients) < _MOST_CLIENTS * len(CLIENT_RESULTS) else OTHER_CLIENTS
        for each in CLIENT_RESULTS:
            self._clients.setdefault((name, each), 0)
        return name
