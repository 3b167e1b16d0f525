"""Logs events without credentials, limits the number of lines, and remembers the last events.

The `Journal` has the last events of each training, for /explain, but no hits. `Events` and `Trail`
never raise, because a request must not fail if an event cannot be logged.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.adapters.telemetry.log_lines import scrub
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import NotStoredReason, Origin, Purpose, StoreVerdict
from gateway.ports import Clock

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

# At most this many events of one name are remembered, so that frequent events do not displace
# others.
_REMEMBERED = 20
_TOLD = 50
_WINDOW = 1.0
# If there are this many windows, all are dropped, with their counts of suppressed lines.
_MOST_REASONS = 1_000


class Log(Protocol):
    """Receives events with their fields, as structlog's bound logger does."""

    def log(self, level: int, event: str, **fields: object) -> object:
        """Write the event, if lines of this level are written."""
        ...


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
    """The lines of one event and key since `start` (monotonic)."""

    start: float
    lines: int = 0
    suppressed: int = 0


class Events:
    """Logs events, and limits the lines of each. Names of events have the form `area.happened`."""

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
        """Log an event, but at most `per_second` lines of this event and `key` in `every` seconds.

        The key is the field `reason` by default. The next line says how many were suppressed, in
        the field `suppressed`.
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
        """The last 50 of the remembered events, the newest first."""
        return self.after(0)[:_TOLD]

    def after(self, number: int) -> list[Happening]:
        """The remembered events with a greater number, the newest first."""
        found = [each for name in self._recent.values() for each in name if each.number > number]
        return sorted(found, key=lambda each: each.number, reverse=True)

    def _admit(self, key: tuple[str, str], per_second: int, every: float) -> int | None:
        """How many suppressed lines to report with this line. None: this line is suppressed too."""
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


EVENTS_OF_ONE: Final = 20
MOST_IDS: Final = 10_000
MOST_BYTES: Final = 8 * 1024 * 1024
# The id of events that concern all trainings, such as a purge.
EVERYBODY: Final = "*"

# Bytes of a `_Page` and of a `Noted`, without the texts in them.
_PAGE: Final = 1_100
_EVENT: Final = 620
# Bytes of a training with its first event, if the texts are short.
_FIRST: Final = _PAGE + _EVENT + 200


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

    @property
    def cost(self) -> int:
        """Approximate size in bytes."""
        texts = (value for value in self.fields.values() if isinstance(value, str))
        return _EVENT + sum(map(len, texts))

    def repeats(self, event: str, partition: str | None, fields: dict[str, object]) -> bool:
        return (self.event, self.partition, self.fields) == (event, partition, fields)


@dataclass(slots=True)
class _Page:
    """The events of one training, the newest last."""

    events: deque[Noted] = field(default_factory=deque)
    cost: int = _PAGE


class Journal:
    """Remembers the last events of each training, within bounds. Beyond them it forgets the
    training that had no event, or only routine events, for the longest time."""

    def __init__(
        self, clock: Clock, *, most_ids: int = MOST_IDS, most_bytes: int = MOST_BYTES
    ) -> None:
        self._clock = clock
        self._most_ids = most_ids
        self._most_bytes = most_bytes
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self.size = 0

    def knows_or_has_room(self, training_id: str) -> bool:
        """Whether the journal has this training, or room for one more with one event."""
        return training_id in self._pages or (
            len(self._pages) < self._most_ids and self.size + _FIRST <= self._most_bytes
        )

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

        Routine events (of a sweep, for example) happen to all trainings again and again. So they do
        not keep a training in the journal.
        """
        now = self._clock.now()
        page = self._page(training_id)
        if not is_routine:
            self._pages.move_to_end(training_id)
        last = page.events[-1] if page.events else None
        if last is None or not last.repeats(event, partition, fields):
            # Scrubbing takes time. Most events of a sweep repeat the last event, and are not
            # scrubbed.
            fields = {name: scrub(value) for name, value in fields.items() if value is not None}
        if last is not None and last.repeats(event, partition, fields):
            last.times, last.last = last.times + 1, now
            return
        self._add(page, Noted(event, partition, fields, now, now))
        while self.size > self._most_bytes or len(self._pages) > self._most_ids:
            _, forgotten = self._pages.popitem(last=False)
            self.size -= forgotten.cost

    def of(self, training_id: str, partition: str | None = None) -> list[Noted]:
        """The last events of the training, and those that concern all trainings, the newest first.
        With `partition`, events of other partitions are left out."""
        found = [
            noted
            for name in dict.fromkeys((training_id, EVERYBODY))
            for noted in self._events(name)
            if partition is None or noted.partition in (None, partition)
        ]
        return sorted(found, key=lambda noted: noted.last, reverse=True)[:EVENTS_OF_ONE]

    def _events(self, training_id: str) -> Iterator[Noted]:
        page = self._pages.get(training_id)
        return iter(()) if page is None else reversed(page.events)

    def _page(self, training_id: str) -> _Page:
        page = self._pages.get(training_id)
        if page is None:
            page = self._pages[training_id] = _Page(cost=_PAGE + len(training_id))
            self.size += page.cost
        return page

    def _add(self, page: _Page, noted: Noted) -> None:
        page.events.append(noted)
        change = noted.cost
        if len(page.events) > EVENTS_OF_ONE:
            change -= page.events.popleft().cost
        page.cost += change
        self.size += change


class Trail:
    """The part of the Observer that writes the journal."""

    def __init__(self, clock: Clock) -> None:
        self.journal = Journal(clock)

    def outdated(self, key: Key) -> None:
        self.note(key.training_id, "entry.outdated", key.partition, by=Origin.REPLICA)

    def fetched(
        self,
        key: Key,
        purpose: Purpose,
        status: int,
        verdict: StoreVerdict | NotStoredReason | None,
    ) -> None:
        refused = isinstance(verdict, NotStoredReason)
        self.note(
            key.training_id,
            "entry.not-stored" if refused else "entry.fetched",
            key.partition,
            purpose=purpose,
            status=status,
            reason=verdict if refused else None,
            verdict=None if refused else verdict,
        )

    def fetch_failed(self, key: Key, purpose: Purpose, why: str) -> None:
        self.note(key.training_id, "fetch.failed", key.partition, purpose=purpose, why=why)

    def swept(self, key: Key, found: str) -> None:
        # A sweep meets every training. In a full journal each new training would displace another.
        if self.journal.knows_or_has_room(key.training_id):
            self.note(key.training_id, "entry.swept", key.partition, is_routine=True, found=found)

    def note(
        self,
        training_id: str,
        event: str,
        partition: str | None,
        *,
        is_routine: bool = False,
        **fields: object,
    ) -> None:
        """As `Journal.note`. The id `*` means all trainings."""
        with suppress(Exception):
            self.journal.note(training_id, event, partition, is_routine=is_routine, **fields)
