"""The short ways while traces are kept: each hit of such a trace is one span.

Nothing here is on the way of a hit while none is.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.vocabulary import Outcome, Tier
from gateway.ports import Count, Served, Tracer
from gateway.web.paths import TRAINING_ROUTE
from gateway.web.wire.l2_hits import LookUp, LookUps
from gateway.web.wire.plain_request import PlainHead

Counting = Callable[[Outcome, Tier, int], Count]


def traced(counting: Counting, tracer: Tracer) -> Counting:
    """The same, which tells `tracer` of each hit whose trace is kept."""
    keeps = tracer.keeps

    def of_sort(outcome: Outcome, tier: Tier, status: int) -> Count:
        count_alone = counting(outcome, tier, status)

        def count(  # noqa: PLR0917 -- names would cost each hit
            seconds: float,
            age: float,
            client: str,
            traceparent: bytes | None = None,
            training_id: str = "",
            is_head: bool = False,
        ) -> None:
            count_alone(seconds, age, client, traceparent)
            if keeps(traceparent):
                method, path = "HEAD" if is_head else "GET", f"/training/{training_id}"
                how = (status, outcome, tier, None, client)
                tracer.hit(traceparent, Served(method, TRAINING_ROUTE, path, *how), seconds)

        return count

    return of_sort


class UntracedLookUps:
    """Look-ups for requests whose caller's trace is not kept; the others go the ordinary way, where
    what they wait for is told."""

    def __init__(self, lookups: LookUps, tracer: Tracer) -> None:
        self.answer, self.linger = lookups.answer, lookups.linger
        self._begin, self._keeps = lookups.begin, tracer.keeps

    def begin(self, said: PlainHead, training_id: str) -> LookUp | None:
        """As LookUps does; None where the trace is kept."""
        if said.traceparent is not None and self._keeps(said.traceparent):
            return None
        return self._begin(said, training_id)
