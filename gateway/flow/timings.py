"""Notes how long a request waited, and for which part of the work.

Several requests may share a fetch, and join and leave it at different times. The fetch notes each
of its waits once, as an interval. Each request takes the parts of these intervals that overlap with
its own wait. A context variable has the notes of the current task. If the request that began the
fetch is traced, each interval is also a span of that request. A request that joins the fetch has
one span for its whole wait.
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

# The name of the span of a wait for another request's work.
_FOLLOW: Final = "follow"


@dataclass(slots=True)
class Interval:
    """One wait for a part of the work, in monotonic time. `ended` is infinite while the wait
    lasts."""

    part: Part
    began: float
    ended: float = math.inf
    span: Span | None = None


@dataclass(slots=True, eq=False)
class Spent:
    """The intervals of one request, or of one fetch.

    `span` is the span of the request, or of the request that began the fetch (None: not traced).
    `leader` is the `traceparent` of another replica's fetch for which this fetch waited.
    """

    clock: Clock
    span: Span | None = None
    intervals: list[Interval] = field(default_factory=list)
    leader: bytes | None = None

    def begin(self, part: Part) -> Interval:
        """Note that the wait for this part begins now."""
        span = None if self.span is None else self.span.part(part)
        interval = Interval(part, self.clock.monotonic(), span=span)
        self.intervals.append(interval)
        return interval

    def end(self, interval: Interval, fault: str | None = None) -> None:
        """Note that the wait is over. `fault` is the name of an error, if there was one."""
        interval.ended = self.clock.monotonic()
        if interval.span is not None:
            interval.span.end(fault)

    def seconds(self) -> dict[Part, float]:
        """How many seconds each part took in total. The part that began first comes first."""
        sums: dict[Part, float] = {}
        now = self.clock.monotonic()
        for each in self.intervals:
            sums[each.part] = sums.get(each.part, 0.0) + min(each.ended, now) - each.began
        return sums

    def share(self, shared: Spent, since: float) -> None:
        """Add the intervals of a shared fetch, but only the time between `since` and now."""
        now = self.clock.monotonic()
        for each in shared.intervals:
            began, ended = max(each.began, since), min(each.ended, now)
            if ended >= began:
                self.intervals.append(Interval(each.part, began, ended))


_watched: ContextVar[Spent | None] = ContextVar("spent", default=None)


@contextmanager
def watched(spent: Spent | None) -> Iterator[None]:
    """While the block runs, note its waits in `spent` (None: note nothing)."""
    before = _watched.set(spent)
    try:
        yield
    finally:
        _watched.reset(before)


@contextmanager
def sharing(shared: Spent | None) -> Iterator[None]:
    """While the block runs, each wait of a shared fetch is also a wait of the current request."""
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
    """Note the time of the block as a wait for this part. Yields the span of the wait (None: not
    traced)."""
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


def spent_by_beginner(clock: Clock) -> Spent:
    """New notes, with the span of the current request, for work that may last longer than this
    request."""
    mine = _watched.get()
    return Spent(clock, None if mine is None else mine.span)


def leading_span() -> str | None:
    """The `traceparent` of this fetch for its followers in other replicas. None without a trace."""
    spent = _watched.get()
    return None if spent is None or spent.span is None else spent.span.traceparent.decode("ascii")


def followed(traceparent: str | None, span: Span | None) -> None:
    """Note that this fetch waited for a fetch of another replica, whose span has this
    `traceparent`. `span` is the span of the wait."""
    spent = _watched.get()
    if traceparent is None or spent is None:
        return
    spent.leader = traceparent.encode("ascii")
    if span is not None:
        span.link(spent.leader)


@contextmanager
def _following(mine: Span, shared: Spent) -> Iterator[None]:
    """Make a span for the wait for another request's work, and link this span to the span of that
    work. If that work waited for a fetch of another replica, link to the span of that fetch
    instead."""
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
