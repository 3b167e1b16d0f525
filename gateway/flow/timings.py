"""Notes how long a request waited, and for which part of the work.

Requests can share a flight (a fetch or a look-up, see `singleflight`), and join it at different
times. The flight notes each of its waits once, as an interval. Each request counts the seconds of
these intervals that overlap with its own wait. If the request that began the flight is traced, each
interval is also a span of that request. Another traced request that joins the flight has one span
for its whole wait.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from gateway.core.vocabulary import Part
from gateway.ports import Clock, Span

_FOLLOW: Final = "follow"


@dataclass(slots=True)
class Interval:
    """One wait, in monotonic time. `ended` is infinite while the wait lasts."""

    part: Part
    began: float
    ended: float = math.inf
    span: Span | None = None


@dataclass(slots=True, eq=False)
class Spent:
    """The intervals of one request, or of one flight.

    span    the span of the request, or of the request that began the flight (None: not traced)
    leader  the `traceparent` of another replica's fetch for which this flight waited
    """

    clock: Clock
    span: Span | None = None
    intervals: list[Interval] = field(default_factory=list)
    leader: bytes | None = None

    def begin(self, part: Part) -> Interval:
        """The wait for this part begins now."""
        span = None if self.span is None else self.span.part(part)
        interval = Interval(part, self.clock.monotonic(), span=span)
        self.intervals.append(interval)
        return interval

    def end(self, interval: Interval, fault: str | None = None) -> None:
        """The wait is over. `fault` is the name of an error."""
        interval.ended = self.clock.monotonic()
        if interval.span is not None:
            interval.span.end(fault)

    def seconds(self) -> dict[Part, float]:
        """The total seconds of each part, in the order in which the parts began."""
        sums: dict[Part, float] = {}
        now = self.clock.monotonic()
        for each in self.intervals:
            sums[each.part] = sums.get(each.part, 0.0) + min(each.ended, now) - each.began
        return sums

    def share(self, shared: Spent, since: float) -> None:
        """Add the intervals of a shared flight, without the time before `since`."""
        now = self.clock.monotonic()
        for each in shared.intervals:
            began, ended = max(each.began, since), min(each.ended, now)
            if ended >= began:
                self.intervals.append(Interval(each.part, began, ended))


_watched: ContextVar[Spent | None] = ContextVar("spent", default=None)


@contextmanager
def watched(spent: Spent | None) -> Iterator[None]:
    """While the block runs, note its waits in `spent` (None: nowhere)."""
    before = _watched.set(spent)
    try:
        yield
    finally:
        _watched.reset(before)


@contextmanager
def sharing(shared: Spent | None) -> Iterator[None]:
    """While the block runs, each wait of a shared flight is also a wait of the current request."""
    mine = _watched.get()
    if mine is None or shared is None:
        yield
        return
    since = mine.clock.monotonic()
    try:
        if mine.span is None or mine.span is shared.span:
            yield
        else:
            with _following(mine.span, shared):
                yield
    finally:
        mine.share(shared, since)


@contextmanager
def on(part: Part) -> Iterator[Span | None]:
    """The block is a wait for this part. Yields the span of the wait (None: not traced)."""
    spent = _watched.get()
    if spent is None:
        yield None
        return
    interval, fault = spent.begin(part), None
    try:
        yield interval.span
    except BaseException as error:
        fault = type(error).__name__
        raise
    finally:
        spent.end(interval, fault)


def spent_of_flight(clock: Clock) -> Spent:
    """An empty `Spent` for a flight that the current request begins. It has the request's span, but
    is a new object, because the flight can last longer than the request."""
    mine = _watched.get()
    return Spent(clock, None if mine is None else mine.span)


def leading_span() -> str | None:
    """The `traceparent` of the current flight, for followers in other replicas. None: not
    traced."""
    spent = _watched.get()
    return None if spent is None or spent.span is None else spent.span.traceparent.decode("ascii")


def followed(traceparent: str | None, span: Span | None) -> None:
    """Note that the current flight waited (in `span`) for another replica's fetch, whose span has
    this `traceparent`."""
    spent = _watched.get()
    if traceparent is None or spent is None:
        return
    spent.leader = traceparent.encode("ascii")
    if span is not None:
        span.link(spent.leader)


@contextmanager
def _following(mine: Span, shared: Spent) -> Iterator[None]:
    """Make a span for the wait of a request that joined the flight. Link it to the span of the
    request that began the flight. If the flight waited for another replica's fetch, link it to the
    span of that fetch instead."""
    span = mine.part(_FOLLOW)
    try:
        yield
    finally:
        leader = shared.leader
        if leader is None and shared.span is not None:
            leader = shared.span.traceparent
        if leader is not None:
            span.link(leader)
        span.end()
