"""What is counted, as plain numbers of this process. No metric has a name here.

Whatever can occur is there from the start, at 0; the keys are the label values. Which requests can
end how is data; what contradicts it is counted all the same. An increment is a dictionary entry or
a list item, for a hit counts on every request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

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
    Tier,
)
from gateway.ports import Count

STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx")

_STORED = (Tier.L1, Tier.L2)
_FETCHED = (Tier.UPSTREAM,)
_NOWHERE = (Tier.NONE,)

# 2xx the training, 3xx the 304 of a caller's condition, 4xx that there is none (404, 410).
_BODY = ("2xx", "3xx")
_ANSWER = ("2xx", "3xx", "4xx")

_CAN_END: tuple[tuple[Outcome, tuple[Tier, ...], tuple[str, ...]], ...] = (
    (Outcome.FRESH, _STORED, _BODY),
    (Outcome.STALE_REFRESHING, _STORED, _BODY),
    (Outcome.STALE_ERROR, _STORED, _BODY),
    (Outcome.STALE_SHIELDED, _STORED, _BODY),
    (Outcome.NEGATIVE, _STORED, ("4xx",)),
    (Outcome.FILLED, _FETCHED, _ANSWER),
    (Outcome.REVALIDATED, _FETCHED, _ANSWER),
    # From L2 where another replica fetched.
    (Outcome.COLLAPSED, (Tier.L2, *_FETCHED), _ANSWER),
    # Writes and the mode `bypass` pass whatever the API answers.
    (Outcome.BYPASSED, _FETCHED, STATUS_CLASSES),
    # What the API says against this caller.
    (Outcome.REJECTED, _FETCHED, ("4xx",)),
    # What we say against the request; 5xx is the 504 of `only-if-cached`.
    (Outcome.REJECTED, _NOWHERE, ("4xx", "5xx")),
    # 4xx is the 412 of a version that is not there yet.
    (Outcome.FAILED, _NOWHERE, ("4xx", "5xx")),
)

POSSIBLE: tuple[tuple[Outcome, Tier, str], ...] = tuple(
    (outcome, tier, status)
    for outcome, tiers, statuses in _CAN_END
    for tier in tiers
    for status in statuses
)

_AS_SET = frozenset(POSSIBLE)


def can_end(outcome: Outcome, tier: Tier, status: str) -> bool:
    """Whether a request can end so; `status` is a class such as `2xx`."""
    return (outcome, tier, status) in _AS_SET


NO_ANSWER = "none"
STALE = (Outcome.STALE_REFRESHING, Outcome.STALE_ERROR, Outcome.STALE_SHIELDED)
_SERVED = "served"
CLIENT_RESULTS = (_SERVED, "limited", "refused")
ORDERS = (Right.INVALIDATE, Right.PURGE, Right.MODE)
# Clients come from a file of the operator's; this only keeps a mistake from filling memory.
_MOST_CLIENTS = 10_000
OTHER_CLIENTS = "other"

# Upper bounds in seconds, inclusive. 10 ms and 1 s are the objectives for hits and for all.
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

Sort = tuple[Outcome, Tier, str]
K = TypeVar("K")
Tally = defaultdict[K, int]


class Histogram:
    """How often a value was at most each bound; the last bucket takes what exceeds them all.

    `exemplars` has the last value of a bucket that came with a trace, and that trace's id.
    """

    __slots__ = ("bounds", "buckets", "exemplars", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, tuple[bytes, float]] = {}

    def observe(self, value: float, trace: bytes | None = None) -> None:
        """Count one value; below 0, or not a number, it counts as 0 so that sums only grow."""
        if not value > 0.0:
            value = 0.0
        at = bisect_left(self.bounds, value)
        self.buckets[at] += 1
        self.total += value
        if trace is not None:
            self.exemplars[at] = (trace, value)


def status_class(status: int | None) -> str:
    """The class of a call's status as its label: `2xx` to `5xx`, or `none`."""
    return _CLASS_OF(status or 0, NO_ANSWER)


def _zeros(keys: Iterable[K]) -> Tally[K]:
    """Zero for all that can occur; what cannot is counted as well, should it occur."""
    return defaultdict(int, dict.fromkeys(keys, 0))


def _per_purpose(bounds: tuple[float, ...]) -> dict[Purpose, Histogram]:
    return {purpose: Histogram(bounds) for purpose in Purpose}


@dataclass(slots=True)
class Counters:
    """Every number that only grows, the calls in flight, and the `Age` (seconds) of the oldest
    stale answer since that was taken last."""

    # What hits count is in cells of their own, found without a key, until somebody reads it.
    _requests: Tally[Sort] = field(default_factory=lambda: _zeros(POSSIBLE))
    _hits: dict[Sort, list[int]] = field(default_factory=dict)
    request_seconds: dict[Outcome, Histogram] = field(
        default_factory=lambda: {outcome: Histogram(REQUEST_SECONDS) for outcome in Outcome}
    )
    age: Histogram = field(default_factory=lambda: Histogram(AGE_SECONDS))
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
    failures: Tally[FailureReason] = field(default_factory=lambda: _zeros(FailureReason))
    denied: Tally[Purpose] = field(default_factory=lambda: _zeros(Purpose))
    wait_seconds: dict[Purpose, Histogram] = field(
        default_factory=lambda: _per_purpose(WAIT_SECONDS)
    )
    invalidations: Tally[Cause] = field(default_factory=lambda: _zeros(Cause))
    freshness_lag: Histogram = field(default_factory=lambda: Histogram(LAG_SECONDS))
    rejected: Tally[InvalidReason] = field(default_factory=lambda: _zeros(InvalidReason))
    drift: Tally[DriftKind] = field(default_factory=lambda: _zeros(DriftKind))
    regressions: int = 0
    # What Redis evicts it does not tell; only an L2 inside the process can report it.
    evictions: Tally[Tier] = field(default_factory=lambda: _zeros((Tier.L1,)))
    redis_seconds: dict[RedisOperation, Histogram] = field(
        default_factory=lambda: {each: Histogram(REDIS_SECONDS) for each in RedisOperation}
    )
    redis_errors: Tally[RedisOperation] = field(default_factory=lambda: _zeros(RedisOperation))
    refusals: Tally[AccessRefusal] = field(default_factory=lambda: _zeros(AccessRefusal))
    orders: Tally[tuple[str, str]] = field(default_factory=lambda: _zeros(()))
    log_lines_dropped: int = 0

    @property
    def requests(self) -> Tally[Sort]:
        """Answers by outcome, tier and class of status."""
        total = self._requests.copy()
        for sort, (hits,) in self._hits.items():
            if hits:
                total[sort] += hits
        return total

    @property
    def clients(self) -> dict[tuple[str, str], int]:
        """Requests by client and result."""
        total = self._clients.copy()
        for client, (served,) in self._served.items():
            total[client, _SERVED] += served
        return total

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
        """Count one answer; `status` outside 200–599 is no answer and counts as `5xx`.

        `observe`, written out twice: a hit costs few calls, and these would be two of them.
        """
        self._requests[outcome, tier, _CLASS_OF(status, "5xx")] += 1
        times = self.request_seconds[outcome]
        at = bisect_left(REQUEST_SECONDS, seconds)
        times.buckets[at] += 1
        times.total += seconds
        if trace is not None:
            times.exemplars[at] = (trace, seconds)
        if age is not None:
            ages = self.age
            ages.buckets[bisect_left(AGE_SECONDS, age)] += 1
            ages.total += age
            if outcome in STALE:
                self._note_stale(age)

    def counting(self, outcome: Outcome, tier: Tier, status: int) -> Count:
        """What does both of these for answers of one sort, served; everything that it needs is
        at hand, for each hit calls it."""
        hits = self._hits.setdefault((outcome, tier, _CLASS_OF(status, "5xx")), [0])
        times, ages = self.request_seconds[outcome], self.age
        in_time, of_age, served = times.buckets, ages.buckets, self._served
        exemplars = times.exemplars

        def count(seconds: float, age: float, client: str, trace: bytes | None = None) -> None:
            hits[0] += 1
            at = 0 if seconds <= _SHORTEST else bisect_left(REQUEST_SECONDS, seconds)
            in_time[at] += 1
            if trace is not None:
                exemplars[at] = (trace, seconds)
            times.total += seconds
            of_age[bisect_left(AGE_SECONDS, age)] += 1
            ages.total += age
            try:
                served[client][0] += 1
            except KeyError:
                served.setdefault(self._meet(client), [0])[0] += 1

        def count_stale(
            seconds: float, age: float, client: str, trace: bytes | None = None
        ) -> None:
            self._note_stale(age)
            count(seconds, age, client, trace)

        return count_stale if outcome in STALE else count

    def take_oldest_stale(self) -> float | None:
        """The oldest stale answer since this was taken last, in seconds of age; None without."""
        oldest, self.oldest_stale = self.oldest_stale, None
        return oldest

    def _note_stale(self, age: float) -> None:
        if self.oldest_stale is None or age > self.oldest_stale:
            self.oldest_stale = age

    def count_client(self, client: str, result: str) -> None:
        """Count a client's request; the first one brings all results of that client at 0."""
        try:
            self._clients[client, result] += 1
        except KeyError:
            self._clients[self._meet(client), result] += 1

    def know_client(self, client: str) -> None:
        """Have all results of a client at 0, unless it was counted before."""
        self._meet(client)

    def count_order(self, order: Right, operator: str) -> None:
        """Count an order that was carried out."""
        self.orders[order, operator] += 1

    def know_operator(self, operator: str) -> None:
        """Have all orders of an operator at 0, unless some were counted before."""
        for order in ORDERS:
            self.orders.setdefault((order, operator), 0)

    def _meet(self, client: str) -> str:
        """The name under which it is counted, all results of which are there from now on."""
        if (client, _SERVED) in self._clients:
            return client
        name = client if len(self._clients) < _MOST_CLIENTS * len(CLIENT_RESULTS) else OTHER_CLIENTS
        for each in CLIENT_RESULTS:
            self._clients.setdefault((name, each), 0)
        return name

    def unforeseen(self) -> list[tuple[Outcome, Tier, str]]:
        """The combinations counted that `can_end` says cannot occur."""
        return [key for key in list(self.requests) if not can_end(*key)]
