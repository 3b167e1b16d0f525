"""Traces that somebody keeps: what is told of a request, and of what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.core.vocabulary import Outcome, Tier

# As attributes of a span are called, by the semantic conventions of OpenTelemetry.
Attributes = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Served:
    """How a request ended. `route` is its path without an id, `path` the same with it; None where
    the path is none of ours."""

    method: str
    route: str | None
    path: str | None
    status: int
    outcome: Outcome
    tier: Tier
    detail: str | None = None
    client: str | None = None


class Span(Protocol):
    """One stretch of a trace that is kept. No verb raises, none awaits."""

    @property
    def traceparent(self) -> bytes:
        """What is told to whoever is asked within it (W3C Trace Context, 3.2)."""
        ...

    def part(self, name: str) -> Span:
        """A stretch within it that begins now."""
        ...

    def link(self, traceparent: bytes) -> None:
        """It waits for what was begun within another one."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Tell more of it."""
        ...

    def serve(self, served: Served) -> None:
        """It is a request's, which ends now."""
        ...

    def end(self, fault: str | None = None) -> None:
        """It ends now, well or with such a fault."""
        ...


class Tracer(Protocol):
    """Begins spans of requests, and sends them. Nothing here delays or fails a request."""

    @property
    def is_on(self) -> bool:
        """Whether any trace is kept."""
        ...

    def keeps(self, traceparent: bytes | None) -> bool:
        """Whether the trace of a request is kept: of one with that sound `traceparent`, or of one
        without, where chance may decide. Asked once of a request."""
        ...

    def begin(self, traceparent: bytes | None) -> Span:
        """The span of a request that begins now, and whose trace is kept."""
        ...

    def hit(self, traceparent: bytes | None, served: Served, seconds: float) -> None:
        """A request whose trace is kept was answered from the store, and took so long."""
        ...

    async def close(self, patience: float) -> None:
        """Send what waits to be sent, so many seconds at most."""
        ...


class NoTracer:
    """Keeps no trace."""

    is_on = False

    def keeps(self, traceparent: bytes | None) -> bool:
        """None is kept."""
        return False

    def begin(self, traceparent: bytes | None) -> Span:
        """Never called."""
        raise NotImplementedError

    def hit(self, traceparent: bytes | None, served: Served, seconds: float) -> None:
        """Never called."""

    async def close(self, patience: float) -> None:
        """Nothing waits."""
