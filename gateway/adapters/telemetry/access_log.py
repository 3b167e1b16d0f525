"""The access log: which answered requests get a line, which are counted in one line for each kind,
and the fields of a line.

The lines do not go through structlog, which would take several times as long.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Final

from gateway.adapters.telemetry.log_lines import Lines, scrub
from gateway.core.vocabulary import Detail, Outcome
from gateway.ports import AccessLine

# Answers with these outcomes are normal and frequent, so only a sample of them is logged.
_ROUTINE = frozenset({Outcome.FRESH, Outcome.NEGATIVE, Outcome.STALE_REFRESHING})
# Each of these answers needed a call to the upstream, so the rate limit bounds their lines.
_CALLED = frozenset({Outcome.FILLED, Outcome.REVALIDATED, Outcome.BYPASSED})
_RESCUED = frozenset({Outcome.STALE_ERROR, Outcome.STALE_SHIELDED})
# All other answers of so many seconds are counted in one line for each kind. While the API fails,
# each request can be such an answer, and the lines would hide the events that say why.
PERIOD: Final = 10.0
# A slow answer is no warning (with a cold cache, callers wait for the list), but never sampled.
_SLOW: Final = INFO + 1
_NAMES = {DEBUG: "debug", INFO: "info", _SLOW: "info", WARNING: "warning", ERROR: "error"}

# The outcome, the status and the detail of an answer, and the level of its line.
_Kind = tuple[Outcome, int, str | None, int]


@dataclass(slots=True)
class _Counted:
    """The answers of one kind since the last summary. `example` is the first of them."""

    count: int = 0
    longest: float = 0.0
    example: AccessLine | None = None


class AccessLog:
    """Logs each answer that needed a call to the upstream, one in `every` of the routine answers,
    and for each other kind of answer one line in `PERIOD` seconds.

    level      the lowest level that is written, a word such as `info`. With `debug` each answer has
               a line of its own
    every      of so many routine answers, one has the level `info` (0: none of them)
    slow       seconds beyond which an answer is slow

    For `unlogged` and `brief` see `AccessLog` in web/request.
    """

    def __init__(
        self, lines: Lines, level: str = "info", *, every: int = 1_000, slow: float = 1.0
    ) -> None:
        self._lines = lines
        self._least = logging.getLevelNamesMapping()[level.upper()]
        self._every = every or math.inf
        self._slow = slow
        self._counted: dict[_Kind, _Counted] = {}
        self.unlogged = [self._every - 1]
        self.brief = slow if self._least > DEBUG else -math.inf

    def is_routine(self, outcome: Outcome) -> bool:
        """Whether answers with this outcome are sampled, if they are neither slow nor errors."""
        return outcome in _ROUTINE

    def weigh(
        self, outcome: Outcome, status: int, seconds: float, detail: str | None = None
    ) -> int | None:
        """The level of the answer (None: `put` is not needed). This method also counts the answer,
        so it must be called only once for each answer."""
        weight = self._level(outcome, status, seconds, detail)
        if weight == INFO and outcome in _ROUTINE:
            weight = self._sampled()
        elif weight >= self._least > DEBUG and outcome not in _CALLED:
            counted = self._counted.setdefault((outcome, status, detail, weight), _Counted())
            counted.count += 1
            counted.longest = max(counted.longest, seconds)
            return weight if counted.example is None else None
        return None if weight < self._least else weight

    def put(self, line: AccessLine, weight: int) -> None:
        """Write the line, or keep it as the example of its kind. Never raises."""
        counted = self._counted.get((line.outcome, line.status, line.detail, weight))
        if counted is None:
            self._lines.write(_record(line, weight))
        else:
            counted.example = line

    async def summarise_until_cancelled(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Call `summarise` every `PERIOD` seconds, and once more at the end."""
        try:
            while True:
                await sleep(PERIOD)
                self.summarise()
        finally:
            self.summarise()

    def summarise(self) -> None:
        """Write a line for each kind of answer that was counted since the last summary."""
        counted, self._counted = self._counted, {}
        for (*_, weight), each in counted.items():
            if each.example is not None:
                sums = {"count": each.count, "longest_ms": _milliseconds(each.longest)}
                self._lines.write(_record(each.example, weight) | sums)

    def _level(self, outcome: Outcome, status: int, seconds: float, detail: str | None) -> int:
        # REJECTED is no error, even with a 5xx: the 504 for `only-if-cached`. In the mode `frozen`
        # an operator wants stale answers.
        if outcome is Outcome.REJECTED or detail == Detail.FROZEN:
            return INFO
        if status >= 500:
            return ERROR
        if outcome in _RESCUED:
            return WARNING
        return _SLOW if seconds > self._slow else INFO

    def _sampled(self) -> int:
        if self.unlogged[0] > 0:
            self.unlogged[0] -= 1
            return DEBUG
        self.unlogged[0] = self._every - 1
        return INFO


def _record(line: AccessLine, weight: int) -> dict[str, object]:
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
        "age": None if line.age is None else round(line.age, 1),
        "client": line.client,
        "trace_id": line.trace_id,
        "detail": line.detail,
        **{f"{part}_ms": _milliseconds(each) for part, each in (line.parts or {}).items()},
    }
    return {name: value for name, value in record.items() if value is not None}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1_000, 2)
