"""The access log: which answered requests get a line, the level of the line, and its fields.

The lines do not go through structlog, which would take several times as long.
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

# Answers with these outcomes are normal, or the caller caused them. They are frequent, so only a
# sample of them is logged. The same holds for stale answers in the mode `frozen`, because an
# operator ordered this mode.
_ROUTINE = frozenset({Outcome.FRESH, Outcome.NEGATIVE, Outcome.REJECTED, Outcome.STALE_REFRESHING})
_RESCUED = frozenset({Outcome.STALE_ERROR, Outcome.STALE_SHIELDED})
# The first `RESCUES` rescues of each second are logged. Of further rescues only a sample is logged:
# while the API fails, every hit can be a rescue, and a line costs ten times as much as a hit.
RESCUES: Final = 10
_NAMES = {DEBUG: "debug", INFO: "info", WARNING: "warning", ERROR: "error"}


class AccessLog:
    """Logs errors, slow answers, answers that needed a call to the upstream, and at most ten
    rescues a second. The other answers are sampled: one in `every` is logged with the level `info`,
    and the rest with the level `debug`.

    monotonic  returns seconds, to count the rescues of each second
    level      the lowest level that is written, a word such as `info`
    every      of so many sampled answers, one has the level `info` (0: none of them)
    slow       seconds beyond which an answer is slow

    For `unlogged` and `brief` see `AccessLog` in web/request.
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
        """The level of the line about an answer (None: no line). This method also counts the answer
        for the sample, so it must be called only once for each answer."""
        # REJECTED is no error, even with a 5xx: the 504 for `only-if-cached`.
        is_fine = (status < 500 or outcome is Outcome.REJECTED) and seconds <= self._slow
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
        """Whether answers with this outcome are sampled, if they are neither slow nor errors."""
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
        """Write the line. Never raises."""
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
