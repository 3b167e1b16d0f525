"""An Observer that remembers what it was told, for tests of whoever tells it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from gateway.core.http.traceparent import ID, SAMPLED
from gateway.core.vocabulary import Cause, Origin, Outcome, Purpose, Tier
from gateway.ports import ConnectionObserver, Count, Observer, RequestObserver, SweepObserver

# `Any`, because mypy counts the methods of a Protocol as abstract.
_Observer: Any = Observer
_VERBS = {
    **vars(RequestObserver),
    **vars(ConnectionObserver),
    **vars(SweepObserver),
    **vars(Observer),
}


class RecordingObserver(_Observer):  # type: ignore[misc]
    """`calls` holds (verb, arguments) in the order in which they came.

    The methods that are not written here note all their arguments, with the defaults of those that
    were left out.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    @property
    def sweeps(self) -> RecordingObserver:
        """Itself: all that it is told is in one list."""
        return self

    def of(self, verb: str) -> list[tuple[object, ...]]:
        """The arguments of each call of one verb."""
        return [arguments for name, arguments in self.calls if name == verb]

    def requested(
        self,
        outcome: Outcome,
        tier: Tier,
        status: int,
        seconds: float,
        age: float | None,
        *,
        trace: bytes | None = None,
    ) -> None:
        self.note("requested", outcome, tier, status, seconds, age)
        self.note("traced", trace)

    def counting(self, outcome: Outcome, tier: Tier, status: int) -> Count:
        def count(  # noqa: PLR0917 -- as the port
            seconds: float,
            age: float,
            client: str,
            traceparent: bytes | None = None,
            training_id: str = "",
            is_head: bool = False,
        ) -> None:
            is_kept = traceparent is not None and traceparent[-1] in SAMPLED
            trace = traceparent[ID] if traceparent is not None and is_kept else None
            self.requested(outcome, tier, status, seconds, age, trace=trace)
            self.client_result(client, "served")

        return count

    def call_ended(
        self, purpose: Purpose, status: int | None, seconds: float, trace: bytes | None = None
    ) -> None:
        self.note("call_ended", purpose, status, seconds)

    def invalidated(
        self,
        cause: Cause,
        training_id: str,
        count: int = 1,
        by: Origin = Origin.UPSTREAM,
        operator: str | None = None,
    ) -> None:
        self.note("invalidated", cause, training_id, count)
        self.note("invalidated_by", by)
        self.note("ordered_by", operator)

    def note(self, verb: str, *arguments: object) -> None:
        """Remember a call."""
        self.calls.append((verb, arguments))


def _recorded(verb: str) -> Callable[..., None]:
    signature = inspect.signature(_VERBS[verb])

    def record(self: RecordingObserver, *arguments: object, **named: object) -> None:
        bound = signature.bind(self, *arguments, **named)
        bound.apply_defaults()
        self.note(verb, *bound.args[1:], *bound.kwargs.values())

    return record


for _verb in _VERBS.keys() - vars(RecordingObserver).keys() - {"sweeps"}:
    if not _verb.startswith("_"):
        setattr(RecordingObserver, _verb, _recorded(_verb))
