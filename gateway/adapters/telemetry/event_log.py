"""Removes credentials from events, logs the events, and remembers the last ones. The number of
lines is limited.

The `Journal` has the last events of each training, for /explain, but no hits. `Events` never
raises, because a request must not fail if an event cannot be logged.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from cachetools import Cache, LRUCache

from gateway.adapters.telemetry.log_lines import scrub
from gateway.ports import Clock

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

# Seconds between two lines about a state that lasts.
SELDOM: Final = 60.0
# At most this many events of one name are remembered, so that frequent events do not displace
# others.
_REMEMBERED = 20
# At most this many events are in the result of `Events.recent`.
_RECENT = 50
# The default of `every` in `Events.emit`, in seconds: as for the lines of the access log.
_PERIOD = 10.0
# At most this many lines a second are logged for the changes of a state.
_STATES = 20
# If `Events` has this many `_Window` objects, it drops all of them, with their counts of suppressed
# lines.
_MOST_WINDOWS = 1_000


class Log(Protocol):
    """Receives events with their fields, as structlog's bound logger does."""

    def log(self, level: int, event: str, **fields: object) -> object:
        """Write the event, if lines of this level are written."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A logged event with a level above debug.

    number  counts these events in this process, from 1
    time    seconds since the Unix epoch
    """

    number: int
    time: float
    event: str
    fields: dict[str, object]


@dataclass(slots=True)
class _Window:
    """The lines since `start` (monotonic) that share one limit, see `Events.emit`."""

    start: float
    lines: int = 0
    suppressed: int = 0


class Events:
    """Logs events, and limits how many lines are logged for an event, see `emit`. Names of events
    have the form `area.happened`."""

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
        most_lines: int = 1,
        every: float = _PERIOD,
        **fields: object,
    ) -> None:
        """Log an event. At most `most_lines` lines are logged in a period of `every` seconds, and
        further lines are suppressed.

        The limit is for lines with the same event and the same `key` (by default the value of the
        field `reason`). The first line after suppressed lines has their number in the field
        `suppressed`.
        """
        with suppress(Exception):
            name = (event, key or str(fields.get("reason", "")))
            suppressed = self._admit(name, most_lines, every)
            if suppressed is None:
                return
            if suppressed:
                fields["suppressed"] = suppressed
            self._write(level, event, {name: scrub(value) for name, value in fields.items()})

    def tell_state(self, level: int, event: str, /, *, key: str = "", **fields: object) -> None:
        """Log a change of a state, or an order. Such events are rare, so each has a line: in a
        second one for each `key`, or `_STATES` without a key."""
        self.emit(level, event, key=key, most_lines=1 if key else _STATES, every=1.0, **fields)

    def recent(self) -> list[Happening]:
        """The last 50 of the remembered events, the newest first."""
        return self.after(0)[:_RECENT]

    def after(self, number: int) -> list[Happening]:
        """The remembered events after the event with this number, the newest first."""
        found = [each for name in self._recent.values() for each in name if each.number > number]
        return sorted(found, key=lambda each: each.number, reverse=True)

    def _admit(self, key: tuple[str, str], most_lines: int, every: float) -> int | None:
        """How many suppressed lines to report with this line. None: do not log this line."""
        now = self._clock.monotonic()
        window = self._windows.get(key)
        suppressed = 0
        if window is None or now - window.start >= every:
            suppressed = window.suppressed if window else 0
            window = self._open(key, now)
        if window.lines >= most_lines:
            window.suppressed += 1
            return None
        window.lines += 1
        return suppressed

    def _open(self, key: tuple[str, str], now: float) -> _Window:
        if len(self._windows) >= _MOST_WINDOWS:
            self._windows.clear()
        window = self._windows[key] = _Window(now)
        return window

    def _write(self, level: int, event: str, fields: dict[str, object]) -> None:
        if level > DEBUG:
            self.number += 1
            happening = Happening(self.number, self._clock.now(), event, fields)
            self._recent.setdefault(event, deque(maxlen=_REMEMBERED)).append(happening)
        self._log.log(level, event, **fields)


# The limits of the journal: events of one training, and of all. Ten thousand events of usual length
# take about ten million bytes.
EVENTS_OF_ONE: Final = 20
MOST_EVENTS: Final = 10_000
# The id of events that concern all trainings, such as a purge.
EVERYBODY: Final = "*"


@dataclass(slots=True)
class Noted:
    """An event, and how often it happened in a row (`times`). `first` and `last` are Unix seconds.
    `partition` None: the event concerns all partitions."""

    event: str
    partition: str | None
    fields: dict[str, object]
    first: float
    last: float
    times: int = 1

    def is_same(self, event: str, partition: str | None, fields: dict[str, object]) -> bool:
        return (self.event, self.partition, self.fields) == (event, partition, fields)


class Journal:
    """Remembers the last events of each training, `most` in all. If there are more, it forgets the
    training that has had no event, and about which nobody asked, for the longest time."""

    def __init__(self, clock: Clock, most: int = MOST_EVENTS) -> None:
        self._clock = clock
        self._events: LRUCache[str, tuple[Noted, ...]] = LRUCache(most, getsizeof=len)

    def note(
        self,
        training_id: str,
        event: str,
        partition: str | None = None,
        *,
        is_routine: bool = False,
        **fields: object,
    ) -> None:
        """Remember an event. If it repeats the training's last event, only a count and a time
        change.

        Routine events (of a sweep, for example) happen to all trainings again and again. So they
        neither displace a training nor, if they repeat, keep one in the journal.
        """
        kept, now = self._events, self._clock.now()
        # Not `kept[training_id]`, which would count as a use.
        before = Cache.__getitem__(kept, training_id) if training_id in kept else ()
        last = before[-1] if before else None
        # Scrubbing takes time. Most events of a sweep are the same as the last event even before
        # they are scrubbed. So the event is compared first, and scrubbed and compared again only if
        # it differs.
        if last is None or not last.is_same(event, partition, fields):
            fields = {name: scrub(value) for name, value in fields.items() if value is not None}
        if last is not None and last.is_same(event, partition, fields):
            last.times, last.last = last.times + 1, now
            if is_routine:
                return
        elif is_routine and kept.currsize >= kept.maxsize:
            return
        else:
            before = (*before, Noted(event, partition, fields, now, now))
        kept[training_id] = before[-EVENTS_OF_ONE:]

    def of(self, training_id: str, partition: str | None = None) -> list[Noted]:
        """The last events of the training, and those that concern all trainings, the newest first.
        With `partition`, events of other partitions are left out."""
        found = [
            noted
            for name in dict.fromkeys((training_id, EVERYBODY))
            for noted in reversed(self._events.get(name, ()))
            if partition is None or noted.partition in (None, partition)
        ]
        return sorted(found, key=lambda noted: noted.last, reverse=True)[:EVENTS_OF_ONE]
