"""What the API was asked. Lives here: counts and the last requests; no judgement of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.simulator.calls import Call
from gateway.simulator.limiter import Limiter
from gateway.simulator.messages import RequestRecord, Stats

_KEPT = 1000
NO_KEY = "none"


@dataclass(slots=True)
class _Counts:
    endpoint: Counter[str] = field(default_factory=Counter)
    status: Counter[str] = field(default_factory=Counter)
    training_id: Counter[str] = field(default_factory=Counter)
    key: Counter[str] = field(default_factory=Counter)
    in_flight_max: int = 0


class Journal:
    """Counts every call to the API and keeps the last thousand."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._counts = _Counts()
        self._last: deque[RequestRecord] = deque(maxlen=_KEPT)

    @contextmanager
    def flight(self, call: Call, now: float) -> Iterator[None]:
        """Count the call from its arrival to its end; `now` monotonic."""
        self._note(call, now)
        self.in_flight += 1
        self._counts.in_flight_max = max(self._counts.in_flight_max, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1

    def answered(self, status: int | None) -> None:
        """Count an answer as it is about to be sent, or that there is none."""
        self._counts.status["none" if status is None else str(status)] += 1

    def last_requests(self) -> list[RequestRecord]:
        """The last thousand requests, oldest first."""
        return list(self._last)

    def stats(self, limiter: Limiter) -> Stats:
        """The counts so far, with the limiter's."""
        counts = self._counts
        return Stats(
            requests=counts.endpoint.total(),
            by_endpoint=dict(counts.endpoint),
            by_status=dict(counts.status),
            by_id=dict(counts.training_id),
            by_key=dict(counts.key),
            in_flight=self.in_flight,
            in_flight_max=counts.in_flight_max,
            fullest_window=limiter.fullest_accepted(),
            fullest_window_asked=limiter.fullest_asked(),
            rate_limited=counts.status["429"],
        )

    def reset(self) -> None:
        """Count anew; what is in flight stays so."""
        self._counts = _Counts(in_flight_max=self.in_flight)
        self._last.clear()

    def _note(self, call: Call, now: float) -> None:
        self._counts.endpoint[call.endpoint] += 1
        self._counts.key[call.token or NO_KEY] += 1
        if call.training_id is not None:
            self._counts.training_id[call.training_id] += 1
        record = RequestRecord(
            method=call.method,
            path=call.path,
            headers=[(name.lower(), value) for name, value in call.headers.items()],
            at=now,
            key=call.token,
        )
        self._last.append(record)
