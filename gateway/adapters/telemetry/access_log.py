"""The access line: one answered request, written past structlog, which would cost several times.

Which answers deserve a line, and of what weight, is decided here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Final

from gateway.adapters.telemetry.log_lines import Lines, scrub
from gateway.core.vocabulary import Detail, Outcome
from gateway.ports import AccessLine

# Answers that are all right, or the caller's own affair, and come by the thousand; as do those
# that are stale because an operator ordered it.
_ROUTINE = frozenset({Outcome.FRESH, Outcome.NEGATIVE, Outcome.REJECTED, Outcome.STALE_REFRESHING})
_RESCUED = frozenset({Outcome.STALE_ERROR, Outcome.STALE_SHIELDED})
# Lines a second about what is stale because the API fails: while it is down all hits may be, and a
# line costs ten times what the hit does.
RESCUES: Final = 10
_NAMES = {DEBUG: "debug", INFO: "info", WARNING: "warning", ERROR: "error"}


class AccessLog:
    """Logs every error, slow answer and all that went upstream, ten rescued ones a second; samples
    the rest.

    monotonic seconds, for what is told so often a second
    level   from which weight on lines are written, a word such as `info`; `debug` for all
    every   one in so many hits and refusals weighs `info` (0: none), the others `debug`
    slow    seconds beyond which an answer is slow

    Hits save the call of `weigh`: while `unlogged` holds more than 0, a routine answer that took at
    most `brief` seconds counts it down, and has no line.
    """

    def __init__(
        self,
        lines: Lines,
        monotonic: Callable[[], float],
        level: str = "info",
        *,
        every: int = 1_000,
        slow: float = 1.0,
    ) -> None:
        self._lines = lines
        self._least = logging.getLevelNamesMapping()[level.upper()]
        self._every = every or math.inf
        self._slow = slow
        self.unlogged = [self._every - 1]
        self.brief = slow if self._least > DEBUG else -math.inf
        self._monotonic = monotonic
        self._second, self._rescues = 0, 0

    def weigh(
        self, outcome: Outcome, status: int, seconds: float, detail: str | None = None
    ) -> int | None:
        """The weight of a line about such an answer, None where none is due; asked once each,
        so that nobody makes a line in vain."""
        is_fine = status < 500 and seconds <= self._slow
        if is_fine and (outcome in _ROUTINE or self._is_sampled(outcome, detail)):
            if self.unlogged[0] > 0:
                self.unlogged[0] -= 1
                weight = DEBUG
            else:
                self.unlogged[0], weight = self._every - 1, INFO
        elif is_fine:
            weight = WARNING if outcome in _RESCUED else INFO
        else:
            weight = ERROR if status >= 500 else WARNING
        return None if weight < self._least else weight

    def is_routine(self, outcome: Outcome) -> bool:
        """Whether such answers are among those that are sampled."""
        return outcome in _ROUTINE

    def _is_sampled(self, outcome: Outcome, detail: str | None) -> bool:
        return detail == Detail.FROZEN or (outcome in _RESCUED and not self._may_tell_rescue())

    def _may_tell_rescue(self) -> bool:
        second = int(self._monotonic())
        if second != self._second:
            self._second, self._rescues = second, 0
        self._rescues += 1
        return self._rescues <= RESCUES

    def put(self, line: AccessLine, weight: int) -> None:
        """Write the line; never raises. A field that is None is left out."""
        record: dict[str, object] = {
            "level": _NAMES[weight],
            "event": "request.answered",
            "request_id": line.request_id,
            "method": line.method,
            "id": scrub(line.training_id),
            "outcome": line.outcome,
            "tier": line.tier,
            "status": line.status,
            "duration_ms": _milliseconds(line.seconds),
            "age": None if line.age is None else round(line.age, 3),
            "client": line.client,
            "trace_id": line.trace_id,
            "detail": line.detail,
            **{f"{part}_ms": _milliseconds(each) for part, each in (line.parts or {}).items()},
        }
        self._lines.write({name: value for name, value in record.items() if value is not None})


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1_000, 3)
