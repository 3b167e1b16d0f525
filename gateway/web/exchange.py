"""One request while it is answered, and what is told of it: to the log, and to the caller
about its own rate. Nothing is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.core.access.caller import Caller
from gateway.core.access.registry import Allowance
from gateway.core.http.fields import Headers
from gateway.core.http.traceparent import sampled_trace_of, trace_id_of
from gateway.core.vocabulary import Detail, Outcome, Part, Problem, Tier
from gateway.flow.timings import Spent
from gateway.web.request import TRAINING_ROUTE


@dataclass(frozen=True, slots=True)
class AccessLine:
    """One answered request, for the access log; `parts` are the seconds that it waited for each."""

    request_id: str
    method: str
    training_id: str | None
    outcome: Outcome
    tier: Tier
    detail: Detail | Problem | None
    status: int
    seconds: float
    age: float | None
    client: str | None
    trace_id: str | None
    parts: Mapping[Part, float] | None = None


class AccessLog(Protocol):
    """Where answered requests are written down, or not.

    Routine answers that took at most `brief` seconds have no line while `unlogged`, a list of one
    number, holds more than 0: they count it down, and need not be weighed.
    """

    unlogged: list[float]
    brief: float

    def is_routine(self, outcome: Outcome) -> bool:
        """Whether a success with that outcome is a routine answer."""
        ...

    def weigh(
        self, outcome: Outcome, status: int, seconds: float, detail: str | None = None
    ) -> int | None:
        """The weight of a line about such an answer, None where none is due; asked once each."""
        ...

    def put(self, line: AccessLine, weight: int) -> None:
        """Write it; never raises."""
        ...


@dataclass(slots=True)
class Exchange:
    """What is known of a request while it is being answered; `began` is monotonic, `fields`
    are what every answer to this caller carries, `spent` is where its time goes. `route` and
    `path` are those of the training, the first without its id."""

    request_id: str
    method: str
    began: float
    spent: Spent
    traceparent: bytes | None = None
    route: str | None = None
    path: str | None = None
    training_id: str | None = None
    caller: Caller | None = None
    fields: Headers = ()

    def name(self, training_id: str | None, path: str) -> None:
        """It is about that training, or trainings as a whole, whose path that is."""
        self.training_id, self.path, self.route = training_id, path, path
        if training_id is not None:
            self.route = TRAINING_ROUTE + path.removeprefix(f"/training/{training_id}")

    @property
    def trace_id(self) -> str | None:
        """The caller's trace, or one that began here."""
        return trace_id_of(self.traceparent)

    @property
    def sampled(self) -> bytes | None:
        """The same, where somebody keeps it."""
        return sampled_trace_of(self.traceparent)

    @property
    def parts(self) -> Mapping[Part, float] | None:
        """Seconds that were waited for each; None where nothing was."""
        return self.spent.seconds() or None


@dataclass(frozen=True, slots=True)
class End:
    """How a request ended, in the words of metrics and logs."""

    outcome: Outcome
    tier: Tier
    detail: Detail | Problem | None


def client_result(status: int, detail: Detail | Problem | None) -> str:
    """How the client is counted: `served`, `limited` by its own rate, or `refused`."""
    if detail is Problem.CLIENT_RATE_LIMITED:
        return "limited"
    return "refused" if status in (401, 403) else "served"


def rate_limit_fields(allowance: Allowance, now: float) -> Headers:
    """What a caller is told of its own rate (draft-ietf-httpapi-ratelimit-headers-10).

    The policy is told in whole seconds, as the draft has it; `r` may be asked for at once, and
    in `t` seconds all of the burst is there again.
    """
    rate = allowance.rate
    seconds = math.ceil(rate.window)
    quota = int(rate.limit * seconds / rate.window)
    remaining, full_in = allowance.remaining(now), math.ceil(allowance.full_in(now))
    return (
        (b"ratelimit-policy", b'"client";q=%d;w=%d' % (quota, seconds)),
        (b"ratelimit", b'"client";r=%d;t=%d' % (remaining, full_in)),
    )
