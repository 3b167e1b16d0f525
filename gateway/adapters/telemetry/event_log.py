"""What happened, as log lines: limited in number, cleaned, and the last ones remembered.

Nothing here counts, and nothing raises: a log that cannot be written must not fail a request.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from gateway.adapters.telemetry.log_lines import scrub
from gateway.ports import Clock

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

# Of each event by its name, so that what comes often pushes out nothing else.
_REMEMBERED = 20
_TOLD = 50
_WINDOW = 1.0
# Reasons are words of closed sets; this only keeps a mistake from filling memory.
_MOST_REASONS = 1_000


class Log(Protocol):
    """Takes an event with its fields: structlog's bound logger does."""

    def log(self, level: int, event: str, **fields: object) -> object:
        """Write it, if the level is wanted."""
        ...


@dataclass(frozen=True, slots=True)
class Happening:
    """An event that was logged; `time` in seconds since the Unix epoch, `number` counts them."""

    number: int
    time: float
    event: str
    fields: dict[str, object]


@dataclass(slots=True)
class _Window:
    """The lines of one event and reason in the second that began at `start` (monotonic)."""

    start: float
    lines: int = 0
    suppressed: int = 0


class Events:
    """Writes events of the form `area.happened`; what repeats is limited per second."""

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock = clock
        self._log = log
        self._windows: dict[tuple[str, str], _Window] = {}
        self._recent: dict[str, deque[Happening]] = {}
        self.number = 0

    def emit(
        self,
        level: int,
        event: str,
        /,
        *,
        key: str = "",
        per_second: int = 1,
        every: float = _WINDOW,
        **fields: object,
    ) -> None:
        """Log it, at most `per_second` lines for one event and its reason, or `key`; so many
        in `every` seconds where that is not one.

        The first line after a pause says how many were `suppressed`.
        """
        with suppress(Exception):
            name = (event, key or str(fields.get("reason", "")))
            suppressed = self._admit(name, per_second, every)
            if suppressed is None:
                return
            if suppressed:
                fields["suppressed"] = suppressed
            self._write(level, event, {name: scrub(value) for name, value in fields.items()})

    def recent(self) -> list[Happening]:
        """The last events worth more than debugging, the newest first."""
        return self.after(0)[:_TOLD]

    def after(self, number: int) -> list[Happening]:
        """Those remembered that came after the first so many, the newest first."""
        found = [each for name in self._recent.values() for each in name if each.number > number]
        return sorted(found, key=lambda each: each.number, reverse=True)

    def _admit(self, key: tuple[str, str], per_second: int, every: float) -> int | None:
        """How many went unsaid since the last line, or None: this one goes unsaid too."""
        now = self._clock.monotonic()
        window = self._windows.get(key)
        suppressed = 0
        if window is None or now - window.start >= every:
            suppressed = window.suppressed if window else 0
            window = self._open(key, now)
        if window.lines >= per_second:
            window.suppressed += 1
            return None
        window.lines += 1
        return suppressed

    def _open(self, key: tuple[str, str], now: float) -> _Window:
        if len(self._windows) >= _MOST_REASONS:
            self._windows.clear()
        window = self._windows[key] = _Window(now)
        return window

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        if level > DEBUG:
            self.number += 1
            happening = Happening(self.number, self._clock.now(), event, fields)
            self._recent.setdefault(event, deque(maxlen=_REMEMBERED)).append(happening)
        self._log.log(level, event, **fields)
