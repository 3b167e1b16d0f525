"""A SharedStore with bodies, in memory: the ledger's floors, and beside them what Redis holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.adapters.ledger import Ledger, LedgerSweep
from gateway.adapters.ledger.floors import Orders, Record
from gateway.core.cache.entry import Confirmation, Entry, Floor, Key, Ticket, leaves_nothing
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import Clock, Compared, Found, Standing, Stored


class InMemoryShared:
    """Several tiers may share one, as replicas share a Redis; nothing goes by itself."""

    def __init__(
        self, clock: Clock, entropy: Callable[[], str], *, believe_after: float = 60.0
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._floors = Ledger(clock, entropy, believe_after=believe_after)
        self._bodies: dict[Key, Entry] = {}
        # What stood under each key after its last step, and where orders since then were lost.
        self._before: dict[Key, tuple[Record, Entry | None]] = {}
        self._lost: set[Key] = set()

    @property
    def is_up(self) -> bool:
        return True

    @property
    def holds_bodies(self) -> bool:
        return True

    def flush(self) -> None:
        """Lose everything, as a Redis without a disk does when it restarts."""
        self._floors = Ledger(self._clock, self._entropy)
        self._bodies.clear()
        self._before.clear()
        self._lost.clear()

    def lose_floor(self, key: Key) -> None:
        """Forget the floor alone, as a Redis without room may."""
        self._floors._floors.pop(key, None)

    def lose_body(self, key: Key) -> None:
        """The same of the body."""
        self._bodies.pop(key, None)

    def lose_orders(self, training_id: str) -> None:
        """The same of the orders for a training: what they did since the last step on a key is
        undone, and nobody knows that there were none."""
        self._floors._orders.pop(training_id, None)
        for key, (record, entry) in self._before.items():
            if key.training_id == training_id and self._floors.record(key) is not None:
                self._floors._floors[key] = replace(record)
                self._lost.add(key)
                if entry is not None:
                    self._bodies[key] = entry

    def _step(self, key: Key) -> None:
        """Where orders were lost, all that was there before the step is ruled out by it."""
        record = self._floors.record(key)
        if record is not None and key in self._lost:
            record.generation += 1
            self._floors._orders.setdefault(
                key.training_id, Orders()
            ).ordered_at = self._clock.now()
            self._bodies.pop(key, None)
        self._lost.discard(key)

    def _stepped(self, key: Key) -> None:
        """Orders come after this."""
        record = self._floors.record(key)
        if record is not None:
            self._before[key] = replace(record), self._bodies.get(key)

    async def lookup(self, key: Key) -> Found:
        found = await self._known(key)
        floor, entry = found.floor, self._bodies.get(key)
        if floor is None or entry is None or entry.confirmed_at <= found.struck_at:
            return found
        return Found(None if _is_lost(entry, floor) else entry, floor, found.struck_at)

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        founds = {key: await self._known(key) for key in keys}
        return {
            key: None if found.floor is None else self._standing(key, found.floor, found.struck_at)
            for key, found in founds.items()
        }

    async def _known(self, key: Key) -> Found:
        found = await self._floors.lookup(key)
        return replace(found, floor=None) if key in self._lost else found

    def _standing(self, key: Key, floor: Floor, struck_at: float) -> Standing:
        entry = self._bodies.get(key)
        known = entry is not None and entry.digest == floor.digest
        last = Confirmation.of(entry) if entry is not None and known else None
        return Standing(floor, lambda: last, struck_at)

    async def begin(self, key: Key) -> Ticket:
        self._step(key)
        ticket = await self._floors.begin(key)
        self._stepped(key)
        return ticket

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        self._step(key)
        stored = await self._store(key, entry, keep)
        self._stepped(key)
        return stored

    async def _store(self, key: Key, entry: Entry, keep: float) -> Stored:
        stored = await self._floors.store(key, entry, keep)
        if stored.verdict.is_refusal or self._is_confirmed_later(key, entry, stored):
            return stored
        if stored.verdict is StoreVerdict.BELIEVED and stored.floor is not None:
            entry = entry.but(generation=stored.floor.generation)
        self._bodies[key] = entry
        return stored

    def _is_confirmed_later(self, key: Key, entry: Entry, stored: Stored) -> bool:
        """Whether a slow confirmation would make the body older that is there."""
        if stored.verdict is not StoreVerdict.UNCHANGED or stored.floor is None:
            return False
        return key in self._bodies and entry.confirmed_at < stored.floor.started

    async def drop(self, key: Key) -> None:
        self._step(key)
        await self._floors.drop(key)
        self._bodies.pop(key, None)
        self._stepped(key)

    async def invalidate(
        self, training_id: str, updated_at: int | None, *, soft: bool = False
    ) -> None:
        await self._floors.invalidate(training_id, updated_at, soft=soft)
        if updated_at is None and not soft:
            for key in [key for key in self._bodies if key.training_id == training_id]:
                del self._bodies[key]

    async def invalidate_key(self, key: Key) -> None:
        self._step(key)
        await self._floors.invalidate_key(key)
        self._bodies.pop(key, None)
        self._stepped(key)

    async def invalidate_partition(self, partition: str) -> None:
        await self._floors.invalidate_partition(partition)

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        for key in [key for key in self._bodies if partition in (None, key.partition)]:
            self._step(key)
            if key not in self._bodies:
                continue
            floor = (await self._floors.lookup(key)).floor
            # What a bound has ruled out stays so when the purge forgets the bound.
            if not soft or (floor is not None and _is_lost(self._bodies[key], floor)):
                del self._bodies[key]
        for key in self._before:
            self._step(key)
        purged = await self._floors.purge(partition, soft=soft)
        for key in list(self._before):
            self._stepped(key)
        return purged


def _is_lost(entry: Entry, floor: Floor) -> bool:
    """As in standing.py: of another epoch, or ruled out by an event that leaves nothing to
    rescue."""
    if entry.epoch != floor.epoch:
        return True
    is_passed = entry.generation < floor.generation
    if is_passed and leaves_nothing(entry.generation, floor.generation):
        return True
    if floor.updated_at is None or floor.digest:
        return False
    if entry.updated_at is None:
        return entry.is_below(floor)
    return entry.updated_at < floor.updated_at


class InMemorySweep(LedgerSweep):
    """SharedSweep on an InMemoryShared."""

    def __init__(self, shared: InMemoryShared, clock: Clock, *, pause_after: float) -> None:
        super().__init__(shared._floors, clock, pause_after=pause_after)
        self._shared = shared

    async def compare(
        self, partition: str, items: Sequence[Listed], page: Ticket, *, stores: bool
    ) -> list[Compared]:
        self._ledger = self._shared._floors
        for item in items:
            self._shared._step(Key(partition, item.training_id))
        compared = await super().compare(partition, items, page, stores=stores)
        return [
            self._renewed(Key(partition, item.training_id), item, each)
            for item, each in zip(items, compared, strict=True)
        ]

    def _renewed(self, key: Key, item: Listed, compared: Compared) -> Compared:
        bodies, floor = self._shared._bodies, compared.floor
        entry = bodies.get(key)
        if entry is not None and floor is not None and compared.verdict is ListVerdict.CONFIRMED:
            last = item.confirmation(floor.generation)
            bodies[key] = entry.confirmed_by(floor, last) or entry
        self._shared._stepped(key)
        return replace(compared, is_held=entry is not None)
