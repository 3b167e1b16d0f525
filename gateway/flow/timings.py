"""Notes how long a request waited, and for which part of the work.

Requests can share a flight (a fetch or a look-up, see `singleflight`). The flight notes the seconds
of its parts once, and each request that joined it has these seconds too. If the request that began
the flight is traced, each part is also a span of that request. Another traced request that joins
the flight has one span for its whole wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from gateway.core.vocabulary import Part
from gateway.ports import Clock, Span

_FOLLOW: Final = "follow"


@dataclass(slots=True, eq=False)
class Spent:
    """What one request, or one flight, waited for.

    span     the span of the request, or of the request that began the flight (None: not traced)
    seconds  the seconds of each part that has ended
    """

    clock: Clock
    span: Span | None = None
    seconds: dict[Part, float] = field(default_factory=dict)

    def add(self, part: Part, seconds: float) -> None:
        """Note a wait for this part that has ended."""
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds


_current: ContextVar[Spent | None] = ContextVar("spent", default=None)


def watch(spent: Spent) -> None:
    """Note the waits of the current task in `spent` from now on."""
    _current.set(spent)


@contextmanager
def sharing(shared: Spent) -> Iterator[None]:
    """The block is the wait of the current request for a shared flight."""
    mine, span = _current.get(), None
    if mine is not None and mine.span is not None and mine.span is not shared.span:
        span = mine.span.part(_FOLLOW)
    try:
        yield
    finally:
        if mine is not None:
            for part, seconds in shared.seconds.items():
                mine.add(part, seconds)
        if span is not None:
            span.end()


@contextmanager
def on(part: Part) -> Iterator[Span | None]:
    """The block is a wait for this part. Yields the span of the wait (None: not traced)."""
    spent, fault = _current.get(), None
    if spent is None:
        yield None
        return
    span = None if spent.span is None else spent.span.part(part)
    began = spent.clock.monotonic()
    try:
        yield span
    except BaseException as error:
        fault = type(error).__name__
        raise
    finally:
        spent.add(part, spent.clock.monotonic() - began)
        if span is not None:
            span.end(fault)


def spent_of_flight(clock: Clock) -> Spent:
    """An empty `Spent` for a flight that the current request begins. It has the request's span, but
    is a new object, because the flight can last longer than the request."""
    mine = _current.get()
    return Spent(clock, None if mine is None else mine.span)
