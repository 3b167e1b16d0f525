"""A SharedStore with bodies, in memory: a ledger, and the bodies beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gateway.adapters.ledger import Ledger, LedgerSweep
from gateway.adapters.ledger.marks import Place
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.marks import Facts, Ticket, Version
from gateway.core.sweep.catalogue import Head, Leaf, News
from gateway.core.sweep.list_item import Listed
from gateway.core.sweep.progress import Progress
from gateway.ports import Clock, Compared, Found, Stored


class InMemoryShared:
    """Several tiers may share one, as replicas share a Redis; nothing goes by itself."""

    def __init__(
        self, clock: Clock, new_word: Callable[[], str], *, believe_after: float = 60.0
    ) -> None:
        self._clock = clock
        self._new_word = new_word
        self.ledger = Ledger(clock, new_word, believe_after=believe_after)
        self.bodies: dict[Key, Entry] = {}

    @property
    def is_up(self) -> bool:
        return True

    @property
    def holds_bodies(self) -> bool:
        return True

    def flush(self) -> None:
        """Lose everything, as a Redis without a disk does when it restarts."""
        self.ledger = Ledger(self._clock, self._new_word)
        self.bodies.clear()

    def lose_mark(self, training_id: str | None, partition: str | None = None) -> None:
        """Forget a mark alone, as a Redis without room may."""
        self.ledger._marks.pop(Place(training_id, partition), None)

    def lose_body(self, key: Key) -> None:
        """The same of an entry."""
        self.ledger._stored.pop(key, None)
        self.bodies.pop(key, None)

    async def lookup(self, key: Key) -> Found:
        found, body = self.ledger.found(key), self.bodies.get(key)
        if found.stored is None or body is None:
            return found
        return found._replace(entry=body.renewed_by(found.stored))

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Found]:
        return await self.ledger.confirm(keys)

    async def begin(self, key: Key) -> FetchStart:
        return await self.ledger.begin(key)

    async def store(
        self, key: Key, facts: Facts, entry: Entry | None, keep: float, *, is_item: bool = False
    ) -> Stored:
        before = self.ledger.slot(key).stored
        stored = await self.ledger.store(key, facts, entry, keep, is_item=is_item)
        self._put(key, before, stored, entry)
        return stored

    def _put(self, key: Key, before: Facts | None, stored: Stored, entry: Entry | None) -> None:
        if stored.facts is None or stored.facts is before:
            return
        self.bodies.pop(key, None)
        if entry is not None:
            self.bodies[key] = entry.but(ticket=stored.facts.ticket)

    async def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> bool:
        return await self.ledger.order(training_id, partition, version, is_hard=is_hard)


class InMemorySweep(LedgerSweep):
    """SharedSweep on an InMemoryShared."""

    def __init__(self, shared: InMemoryShared, clock: Clock, *, pause_after: float) -> None:
        super().__init__(shared.ledger, clock, pause_after=pause_after)
        self._shared = shared
        self._heads: dict[str, Head | None] = {}
        self._leaves: dict[str, dict[int, Leaf]] = defaultdict(dict)

    async def note(self, partition: str, progress: Progress, news: News | None = None) -> bool:
        if news is not None:
            self._heads[partition] = news.head
            self._leaves[partition][news.first] = news.page
        return await super().note(partition, progress)

    async def catalogue(
        self, partition: str, known: Mapping[int, Leaf]
    ) -> tuple[Head, Mapping[int, Leaf]] | None:
        head = self._heads.get(partition)
        return None if head is None else (head, self._leaves[partition])

    async def compare(
        self, partition: str, items: Sequence[Listed], page: Ticket, *, stores: bool
    ) -> list[Compared]:
        self._ledger = self._shared.ledger
        compared = await super().compare(partition, items, page, stores=stores)
        return [
            replace(each, is_held=Key(partition, item.training_id) in self._shared.bodies)
            for item, each in zip(items, compared, strict=True)
        ]
