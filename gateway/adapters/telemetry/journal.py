"""What happened to single trainings lately: the last events of each, told by /explain.

Bounded in trainings, in events of each, and in bytes. Nothing here is asked on the way of a hit:
what is noted are fetches, orders and sweeps.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from gateway.adapters.telemetry.log_lines import scrub
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import NotStoredReason, Origin, Purpose, StoreVerdict
from gateway.ports import Clock

EVENTS_OF_ONE: Final = 20
MOST_IDS: Final = 10_000
MOST_BYTES: Final = 8 * 1024 * 1024
# Stands for all trainings: a purge names none.
EVERYBODY: Final = "*"

# What a page of events and an event cost beside their texts, as Python counts its objects.
_PAGE: Final = 1_100
_EVENT: Final = 620


@dataclass(slots=True)
class Noted:
    """An event, and how often it came in a row; times in seconds since the Unix epoch.

    `partition` is None for what concerns them all.
    """

    event: str
    partition: str | None
    fields: dict[str, object]
    first: float
    last: float
    times: int = 1

    @property
    def cost(self) -> int:
        """Bytes, about."""
        texts = (value for value in self.fields.values() if isinstance(value, str))
        return _EVENT + sum(map(len, texts))

    def repeats(self, event: str, partition: str | None, fields: dict[str, object]) -> bool:
        """Whether that is the same once more."""
        return (self.event, self.partition, self.fields) == (event, partition, fields)


@dataclass(slots=True)
class _Page:
    """The events of one training, the newest last."""

    events: deque[Noted] = field(default_factory=deque)
    cost: int = _PAGE


class Journal:
    """Remembers; the training of which nothing happened for longest is forgotten first."""

    def __init__(
        self, clock: Clock, *, most_ids: int = MOST_IDS, most_bytes: int = MOST_BYTES
    ) -> None:
        self._clock = clock
        self._most_ids = most_ids
        self._most_bytes = most_bytes
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        self.size = 0

    @property
    def ids(self) -> int:
        """Of how many trainings something is known."""
        return len(self._pages)

    def knows_or_has_room(self, training_id: str) -> bool:
        """Whether noting something of it pushes nobody out for it alone."""
        return training_id in self._pages or len(self._pages) < self._most_ids

    def note(
        self, training_id: str, event: str, partition: str | None = None, **fields: object
    ) -> None:
        """Remember an event; one that repeats the last is counted there."""
        now = self._clock.now()
        known = {name: scrub(value) for name, value in fields.items() if value is not None}
        page = self._page(training_id)
        last = page.events[-1] if page.events else None
        if last is not None and last.repeats(event, partition, known):
            last.times, last.last = last.times + 1, now
            return
        self._add(page, Noted(event, partition, known, now, now))
        while self.size > self._most_bytes or len(self._pages) > self._most_ids:
            _, forgotten = self._pages.popitem(last=False)
            self.size -= forgotten.cost

    def of(self, training_id: str, partition: str | None = None) -> list[Noted]:
        """Its last events, and those of everybody, the newest first; of a partition alone, with
        what concerns them all, where one is given."""
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
        self._pages.move_to_end(training_id)
        return page

    def _add(self, page: _Page, noted: Noted) -> None:
        page.events.append(noted)
        change = noted.cost
        if len(page.events) > EVENTS_OF_ONE:
            change -= page.events.popleft().cost
        page.cost += change
        self.size += change


class Trail:
    """A part of the Observer; never raises."""

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
        told = {"purpose": purpose, "status": status}
        if isinstance(verdict, NotStoredReason):
            self.note(key.training_id, "entry.not-stored", key.partition, **told, reason=verdict)
        else:
            self.note(key.training_id, "entry.fetched", key.partition, **told, verdict=verdict)

    def fetch_failed(self, key: Key, purpose: Purpose, why: str) -> None:
        self.note(key.training_id, "fetch.failed", key.partition, purpose=purpose, why=why)

    def swept(self, key: Key, found: str) -> None:
        # A sweep comes past all there are, again and again: what is known stays known.
        if self.journal.knows_or_has_room(key.training_id):
            self.note(key.training_id, "entry.swept", key.partition, found=found)

    def note(self, training_id: str, event: str, partition: str | None, **fields: object) -> None:
        """Remember what happened to a training, `*` for all of them."""
        with suppress(Exception):
            self.journal.note(training_id, event, partition, **fields)
