"""What the time of a request went into: the parts that are waited for, each as a stretch.

A fetch is shared, and its callers join and leave as they please: the fetch notes its stretches
once, and each caller takes those that fell into its own wait. The task that is watched stands
in a context variable, since what is waited for lies several calls below whoever wants to know.
Where a request's trace is kept, each part is a span as well.
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

# The span of a request that waits for what another one began.
_FOLLOW: Final = "follow"


@dataclass(slots=True)
class Interval:
    """From when to when (monotonic) a part took; it has no end while it lasts."""

    part: Part
    began: float
    ended: float = math.inf
    span: Span | None = None


@dataclass(slots=True, eq=False)
class Spent:
    """The stretches of one request, or of one fetch.

    `span` is the request's, or that of the request that began the fetch, where its trace is kept.
    `leader` tells of the span of another replica's fetch that was waited for instead.
    """

    clock: Clock
    span: Span | None = None
    stretches: list[Interval] = field(default_factory=list)
    leader: bytes | None = None

    def begin(self, part: Part) -> Interval:
        """That part is waited for from now on."""
        span = None if self.span is None else self.span.part(part)
        stretch = Interval(part, self.clock.monotonic(), span=span)
        self.stretches.append(stretch)
        return stretch

    def end(self, stretch: Interval, fault: str | None = None) -> None:
        """It is over, well or with such a fault."""
        stretch.ended = self.clock.monotonic()
        if stretch.span is not None:
            stretch.span.end(fault)

    def seconds(self) -> dict[Part, float]:
        """How long each part took in all, in the order in which they began."""
        sums: dict[Part, float] = {}
        now = self.clock.monotonic()
        for each in self.stretches:
            sums[each.part] = sums.get(each.part, 0.0) + min(each.ended, now) - each.began
        return sums

    def share(self, shared: Spent, since: float) -> None:
        """Take what of another's stretches falls between `since` and now."""
        now = self.clock.monotonic()
        for each in shared.stretches:
            began, ended = max(each.began, since), min(each.ended, now)
            if ended >= began:
                self.stretches.append(Interval(each.part, began, ended))


_watched: ContextVar[Spent | None] = ContextVar("spent", default=None)


@contextmanager
def watched(spent: Spent | None) -> Iterator[None]:
    """What is waited for inside is noted there, or nowhere."""
    before = _watched.set(spent)
    try:
        yield
    finally:
        _watched.reset(before)


@contextmanager
def sharing(shared: Spent | None) -> Iterator[None]:
    """What another one notes while inside is noted for who waits here, too."""
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
    """What is waited for inside is that part of the whole; with its span, where there is one."""
    spent = _watched.get()
    if spent is None:
        yield None
        return
    stretch, fault = spent.begin(part), None
    try:
        yield stretch.span
    except BaseException as error:
        fault = type(error).__name__
        raise
    finally:
        spent.end(stretch, fault)


def spent_by_beginner(clock: Clock) -> Spent:
    """For what is begun now, and may outlive the request that begins it: a part of its trace."""
    mine = _watched.get()
    return Spent(clock, None if mine is None else mine.span)


def leading_span() -> str | None:
    """What tells the followers of this fetch of its span, where its trace is kept."""
    spent = _watched.get()
    return None if spent is None or spent.span is None else spent.span.traceparent.decode("ascii")


def followed(traceparent: str | None, span: Span | None) -> None:
    """What was waited for, as `span`, was another replica's fetch with that `leading_span`."""
    spent = _watched.get()
    if traceparent is None or spent is None:
        return
    spent.leader = traceparent.encode("ascii")
    if span is not None:
        span.link(spent.leader)


@contextmanager
def _following(mine: Span, shared: Spent) -> Iterator[None]:
    """The wait for what another one does, linked to that as soon as it is known."""
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
