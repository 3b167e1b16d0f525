"""SharedStore on Redis: entries, and the marks behind them.

The rules are in core/cache/marks. Each decision is made here, from the slot that was read. The
script writes the slot only if it is still the same. Otherwise the decision is made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from cachetools import LRUCache, TTLCache

from gateway.adapters.redis.connect.batching import Gathering
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.keys import Names
from gateway.adapters.redis.records import (
    FACTS_LENGTH,
    EnvelopeRefused,
    Raw,
    decode,
    decode_mark,
    decode_slot,
    encode,
    encode_mark,
    encode_slot,
    version_record,
)
from gateway.core.cache import marks
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.marks import Facts, Mark, Marks, Slot, Ticket, Version, Words
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation, StoreVerdict
from gateway.ports import ConnectionObserver, Found, Stored

# The most keys of one round trip. A longer reply would perhaps come too late. A reply to look-ups
# has bodies, a reply to confirmations has none.
_LOOKED_UP_AT_ONCE: Final = 200
_CONFIRMED_AT_ONCE: Final = 500
_READ_AT_ONCE: Final = 100  # the most slots that one run of the script `read` reads
_ATTEMPTS: Final = 3  # others have changed the slot so often: the answer is not stored
# What is stored renews the expiry of the marks of everything and of its partition, but at most once
# in this many seconds.
_EXTEND_EVERY: Final = 10.0
_MOST: Final = 4_096  # records that are remembered


class SlotRead(NamedTuple):
    """A slot, its records as Redis has them, and whether its entry has a body."""

    slot: Slot
    raw: Raw
    is_held: bool


class SharedWords(NamedTuple):
    """The words of the marks of everything and of a partition, and when they were asked for."""

    everything: Words
    partition: Words
    asked_at: float

    def begun(self, started: float, training: Words) -> FetchStart:
        """The start of a fetch that reads the words of the training now."""
        return FetchStart(started, Ticket(self.everything, self.partition, training), self.asked_at)


class RedisStore:
    """Entries and marks in Redis, all with an expiry.

    longest_keep   most seconds for which an entry is kept. A mark is kept twice as long
    longest_fetch  most seconds from `begin` to `store`. `begin` keeps a new mark for twice this
                   time, so that fetches that store nothing take little memory
    new_word       makes a word: 16 hex digits that never come again
    believe_after  seconds; see core/cache/marks
    """

    holds_bodies: Final = True

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        observer: ConnectionObserver,
        *,
        longest_keep: float,
        longest_fetch: float,
        new_word: Callable[[], str],
        believe_after: float = 60.0,
    ) -> None:
        self.connection = connection
        self.names = Names(prefix)
        self._observer = observer
        self._longest_keep = longest_keep
        self._keep = milliseconds(2 * longest_keep)
        self._fetch_keep = milliseconds(2 * longest_fetch)
        self.new_word = new_word
        self._believe_after = believe_after
        self._lookups = Gathering(
            lambda _: RedisOperation.LOOKUP, self._look_up, _LOOKED_UP_AT_ONCE
        )
        self._confirms = Gathering(
            lambda _: RedisOperation.CONFIRM, self._confirm, _CONFIRMED_AT_ONCE
        )
        self._make = Script.load("marks", "make", needs=["mark"])
        self._order = Script.load("marks", "order", needs=["mark"])
        self._read = Script.load("marks", "read", needs=["mark"])
        self._swap = Script.load("marks", "swap", needs=["mark"])
        clock = connection.monotonic
        every = min(_EXTEND_EVERY, longest_keep / 4)
        self._extended: TTLCache[str, bool] = TTLCache(_MOST, every, clock)
        self._slots: LRUCache[Key, Raw] = LRUCache(_MOST)  # as they were last read

    @property
    def is_up(self) -> bool:
        """Whether Redis is up."""
        return self.connection.is_up

    def lookup(self, key: Key) -> asyncio.Future[Found]:
        if self.is_up:
            return self._lookups.ask(key)
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        answer.set_exception(RedisUnavailable(RedisOperation.LOOKUP, "it is away"))
        return answer

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Found]:
        if keys and not self.is_up:
            raise RedisUnavailable(RedisOperation.CONFIRM, "it is away")
        founds = await asyncio.gather(*map(self._confirms.ask, keys))
        return dict(zip(keys, founds, strict=True))

    async def begin(self, key: Key) -> FetchStart:
        shared, (training, started) = await asyncio.gather(
            self.shared_words(key.partition, RedisOperation.BEGIN),
            self.connection.run_script(
                RedisOperation.BEGIN,
                self._make,
                (self.names.mark(key.training_id),),
                self.new_mark(),
                lambda reply: (_words(reply[0]), int(reply[1]) / 1_000_000),
            ),
        )
        return shared.begun(started, training)

    def new_mark(self) -> tuple[str, int]:
        """The mark that a fetch makes if its training has none, and for how long it is kept."""
        return encode_mark(marks.new_mark(self.new_word)), self._fetch_keep

    async def shared_words(self, partition: str, operation: RedisOperation) -> SharedWords:
        """The words of the marks of everything and of a partition, for a fetch that begins now.
        Raises RedisUnavailable."""
        asked_at = self.connection.monotonic()
        names = self.names.shared_marks(partition)
        everything, own = await self._make_all(operation, names, self._fetch_keep)
        return SharedWords(everything, own, asked_at)

    async def _make_all(
        self, operation: RedisOperation, names: Sequence[str], keep: int
    ) -> list[Words]:
        """The words of marks, each made if it is missing, and kept for at least `keep` (ms)."""
        mark = marks.new_mark(self.new_word)
        new = encode_mark(mark)
        made = await self.connection.run_many(
            operation,
            self._make,
            [((name,), (new, keep)) for name in names],
            lambda reply: _words(reply[0]),
        )
        for name, words in zip(names, made, strict=True):
            if words == mark.words:
                self._extended.pop(name, None)  # Redis has lost the mark
            if keep == self._keep:
                self._extended[name] = True
        return made

    async def store(
        self, key: Key, facts: Facts, entry: Entry | None, keep: float, *, is_item: bool = False
    ) -> Stored:
        believe_after = None if is_item else self._believe_after
        now, raw = self.connection.now(), self._slots.pop(key, Raw())
        if not raw.mark and (words := facts.ticket.training):
            # The fetch made it. If no order has changed it, it stands like this.
            raw = raw._replace(mark=encode_mark(Mark(words)).encode())
        slot = decode_slot(raw)
        for _ in range(_ATTEMPTS):
            then = marks.store(slot, facts, now, self.new_word, believe_after)
            said, is_stored = marks.told(slot, then, facts, now), marks.is_stored(slot, then)
            body = None  # it stays
            if is_stored:  # empty if only the facts are stored
                body = b"" if entry is None else encode(key, entry)
            is_written, found = await self._write(key, raw, then, keep, body=body)
            if is_written:
                return Stored(said, then.stored)
            raw, slot = found, decode_slot(found)
        return Stored(StoreVerdict.INVALIDATED, slot.stored)

    async def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> bool:
        name = self.names.mark(training_id, partition)
        words = (self.new_word(), self.new_word(), self.new_word())
        return await self.connection.run_script(
            RedisOperation.INVALIDATE,
            self._order,
            (name,),
            (*words, version_record(version), int(is_hard), self._keep),
            lambda reply: int(reply[0]) == 1,
        )

    async def read_slots(self, operation: RedisOperation, keys: Sequence[Key]) -> list[SlotRead]:
        """The slots of these keys, without the bodies. Raises RedisUnavailable."""
        at_once = 1 if self.connection.is_cluster else _READ_AT_ONCE
        runs = [keys[start : start + at_once] for start in range(0, len(keys), at_once)]
        names = [[name for key in run for name in self.names.slot(key)] for run in runs]
        told = await self.connection.run_many(
            operation, self._read, [(each, ()) for each in names], _slots_read
        )
        return [each for run in told for each in run]

    async def shared_marks(
        self, operation: RedisOperation, partitions: Iterable[str]
    ) -> dict[str, tuple[Mark | None, Mark | None]]:
        """The marks of everything and of each partition. Raises RedisUnavailable."""
        names = {each: self.names.shared_marks(each) for each in partitions}
        distinct = list(dict.fromkeys(name for pair in names.values() for name in pair))
        values = await self.connection.read(operation, distinct)
        records = dict(zip(distinct, map(decode_mark, values), strict=True))
        return {part: (records[all_], records[own]) for part, (all_, own) in names.items()}

    async def write_slot(self, key: Key, before: SlotRead, after: Slot, keep: float) -> bool:
        """Write the slot if nobody has changed it. The body stays. Raises RedisUnavailable."""
        is_written, _ = await self._write(key, before.raw, after, keep, body=None)
        return is_written

    async def _write(
        self, key: Key, before: Raw, after: Slot, keep: float, *, body: bytes | None
    ) -> tuple[bool, Raw]:
        """Whether the slot was written, and the records before that. `body` None: the body
        stays."""

        def read(reply: Sequence[Any]) -> tuple[bool, Raw]:
            return int(reply[0]) == 1, Raw(*reply[1:4])

        keeps = milliseconds(min(keep, self._longest_keep)), self._keep
        shared = self.names.shared_marks(key.partition)
        short = [each for each in shared if each not in self._extended]
        told, _ = await asyncio.gather(
            self.connection.run_script(
                RedisOperation.STORE,
                self._swap,
                self.names.slot(key),
                (*before, *encode_slot(after), int(body is not None), body or b"", *keeps),
                read,
            ),
            self._make_all(RedisOperation.STORE, short, self._keep),
        )
        return told

    async def _confirm(self, keys: list[Key]) -> list[Found]:
        operation = RedisOperation.CONFIRM
        shared, read = await asyncio.gather(
            self.shared_marks(operation, {key.partition for key in keys}),
            self.read_slots(operation, keys),
        )
        return [
            Found(Marks(*shared[key.partition], each.slot.mark), each.slot.stored)
            for key, each in zip(keys, read, strict=True)
        ]

    async def _look_up(self, keys: list[Key]) -> list[Found]:
        shared = [name for key in keys for name in self.names.shared_marks(key.partition)]
        names = list(dict.fromkeys(shared))
        names += [name for key in keys for name in self.names.slot(key)]
        values = await self.connection.read(RedisOperation.LOOKUP, names)
        records = dict(zip(names, values, strict=True))
        return list(map(partial(self._found, records), keys))

    def _found(self, records: dict[str, bytes | None], key: Key) -> Found:
        mark, entry, refusal = (records[name] for name in self.names.slot(key))
        raw = Raw.of(mark, entry, refusal)
        slot = decode_slot(raw)
        self._slots[key] = raw
        names = self.names.shared_marks(key.partition)
        everything, own = (decode_mark(records[each]) for each in names)
        return Found(
            Marks(everything, own, slot.mark), slot.stored, self._entry(key, slot.stored, entry)
        )

    def _entry(self, key: Key, stored: Facts | None, record: bytes | None) -> Entry | None:
        body = b"" if record is None else record[FACTS_LENGTH:]
        try:
            return decode(key, stored, body) if stored and body else None
        except EnvelopeRefused as fault:
            self._observer.envelope_refused(fault.why)
            return None


def _slots_read(reply: Sequence[Any]) -> list[SlotRead]:
    raws = [Raw(*reply[at : at + 3]) for at in range(0, len(reply), 4)]
    return [
        SlotRead(decode_slot(raw), raw, int(is_held) == 1)
        for raw, is_held in zip(raws, reply[3::4], strict=True)
    ]


def _words(record: bytes) -> Words:
    """The words of a mark. Raises ValueError."""
    mark = decode_mark(record)
    if mark is None:
        raise ValueError("the reply has no mark")
    return mark.words


def milliseconds(seconds: float) -> int:
    """The time in milliseconds, but at least 1, because Redis refuses an expiry of 0."""
    return max(1, int(seconds * 1000))
