"""Marks on Redis: what is stored of a key, and the marks behind it.

The rules are in core/cache/marks. Each decision is made here, from the slot that was read. The
script writes it only if the slot is still the same. The names of the keys contain `g2`: releases
with another format neither read nor write these keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.adapters.redis.connect.batching import Gathering
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.records import NO_VERSION, micros
from gateway.adapters.redis.records import version as wire
from gateway.core.cache import marks
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import Facts, Mark, Marks, Refusal, Slot, Ticket, Version, Words
from gateway.core.instant import Instant, from_wire
from gateway.core.vocabulary import RedisOperation

_WORDS = rb"([0-9a-f]{16}) ([0-9a-f]{16}) ([0-9a-f]{16})"
_MARK = re.compile(_WORDS + rb" (\d{21}) (\d{21})")
_FACTS = re.compile(rb"(\d{21}) (\d{16}) (\d{16}) (\d{21})" + 3 * (b" " + _WORDS))
_REFUSAL = re.compile(rb"(\d{21}) (\d{16})")
_FACTS_LENGTH: Final = 230

_LOOKED_UP_AT_ONCE: Final = 200  # the most keys of one round trip
_ATTEMPTS: Final = 3  # others have changed the slot so often: the answer is not stored


class Found(NamedTuple):
    """What a look-up read: the marks, the slot, and the bytes of the body (None: there is none)."""

    marks: Marks
    slot: Slot
    body: bytes | None


@dataclass(frozen=True, slots=True)
class MarkNames:
    """The names of the keys. Those with the same training id are in one slot of a cluster."""

    prefix: str

    def mark(self, training_id: str | None, partition: str | None) -> str:
        """The mark of a training, of a partition, or of everything (both None)."""
        if training_id is not None:
            return f"{self.prefix}:g2:{{{training_id}}}:m"
        return f"{self.prefix}:g2:all" if partition is None else f"{self.prefix}:g2:p:{partition}"

    def slot(self, key: Key) -> tuple[str, str, str]:
        """The keys of a slot: mark, entry, refusal."""
        stem = f"{self.prefix}:g2:{{{key.training_id}}}"
        return f"{stem}:m", f"{stem}:e:{key.partition}", f"{stem}:r:{key.partition}"


class RedisMarks:
    """The slots and marks in Redis, all with an expiry.

    keep           seconds for which a mark lives at least, longer than any entry
    new_word       makes a word: 16 hex digits that never come again
    believe_after  seconds; see core/cache/marks
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        *,
        keep: float,
        new_word: Callable[[], str],
        believe_after: float = 60.0,
    ) -> None:
        self._connection = connection
        self._names = MarkNames(prefix)
        self._keep = max(1, round(keep * 1000))
        self._new_word = new_word
        self._believe_after = believe_after
        self._lookups = Gathering(lambda _: RedisOperation.LOOKUP, self._read, _LOOKED_UP_AT_ONCE)
        self._make = Script.load("marks", "make")
        self._order = Script.load("marks", "order")
        self._swap = Script.load("marks", "swap")

    async def look_up(self, key: Key) -> Found:
        """Read the three marks and the slot of a key. Raises RedisUnavailable."""
        return await self._lookups.ask(key)

    async def make(self, key: Key) -> Marks:
        """The marks for a fetch that begins now; those that are missing are made. Raises
        RedisUnavailable."""
        names = [self._names.mark(None, None), self._names.mark(None, key.partition)]
        names.append(self._names.mark(key.training_id, None))
        calls = [
            ((name,), (encode_mark(marks.new_mark(self._new_word)), self._keep)) for name in names
        ]
        made = await self._connection.run_many(
            RedisOperation.BEGIN, self._make, calls, lambda reply: decode_mark(reply[0])
        )
        return Marks(*made)

    async def store(
        self, key: Key, slot: Slot, new: Facts, body: bytes, *, now: float, keep: float
    ) -> Facts | None:
        """Store an answer for `keep` seconds. `slot`: as it was read before.

        Returns what is stored, None if the answer is not stored. Raises RedisUnavailable.
        """
        for _ in range(_ATTEMPTS):
            after = marks.store(slot, new, now, self._new_word, self._believe_after)
            is_stored = after is not slot and after.refusal is None
            if await self._write(key, slot, after, body if is_stored else b"", keep):
                return after.stored if is_stored else None
            slot = (await self.look_up(key)).slot
        return None

    async def confirm(self, key: Key, slot: Slot, item: Facts) -> Slot:
        """Confirm what is stored by an item of the list, or raise `seen`. Returns the slot. Raises
        RedisUnavailable."""
        for _ in range(_ATTEMPTS):
            after = marks.confirm(slot, item)
            if after is slot or await self._write(key, slot, after, b"", 0.0):
                return after
            slot = (await self.look_up(key)).slot
        return slot

    async def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> None:
        """Apply an order to the mark of a training, of a partition, or of everything (both None).
        Raises RedisUnavailable."""
        words = (self._new_word(), self._new_word(), self._new_word())
        await self._connection.run_script(
            RedisOperation.INVALIDATE,
            self._order,
            (self._names.mark(training_id, partition),),
            (*words, wire(version), int(is_hard), self._keep),
            lambda _: None,
        )

    async def _write(self, key: Key, before: Slot, after: Slot, body: bytes, keep: float) -> bool:
        return await self._connection.run_script(
            RedisOperation.STORE,
            self._swap,
            self._names.slot(key),
            (*_encode(before), *_encode(after), body, max(1, round(keep * 1000)), self._keep),
            lambda reply: int(reply[0]) == 1,
        )

    async def _read(self, keys: list[Key]) -> list[Found]:
        shared = list(dict.fromkeys(self._names.mark(None, key.partition) for key in keys))
        names = [self._names.mark(None, None), *shared]
        names += [name for key in keys for name in self._names.slot(key)]
        records = await self._connection.read(RedisOperation.LOOKUP, names)
        known = dict(zip(names, records, strict=True))
        return [self._found(key, known) for key in keys]

    def _found(self, key: Key, known: dict[str, bytes | None]) -> Found:
        mark, entry, refusal = map(known.__getitem__, self._names.slot(key))
        everything = decode_mark(known[self._names.mark(None, None)])
        partition = decode_mark(known[self._names.mark(None, key.partition)])
        stored = decode_facts(entry)
        slot = Slot(decode_mark(mark), stored, _decode_refusal(refusal))
        body = entry[_FACTS_LENGTH:] if entry and stored else None
        return Found(Marks(everything, partition, slot.mark), slot, body)


def encode_mark(mark: Mark) -> str:
    """The record of a mark: three words and two bounds, in fixed widths."""
    return " ".join((*mark.words, wire(mark.bound), wire(mark.hard_bound)))


def decode_mark(record: bytes | None) -> Mark | None:
    """The mark in a record. None if there is none, or if the bytes are no mark."""
    match = None if record is None else _MARK.fullmatch(record)
    if match is None:
        return None
    *words, bound, hard_bound = map(bytes.decode, match.groups())
    return Mark(Words(*words), _version(bound), _version(hard_bound))


def encode_facts(facts: Facts) -> str:
    """The beginning of an entry's record. All three marks must have been read."""
    words = [word for each in facts.ticket if each for word in each]
    times = micros(facts.started), micros(facts.confirmed)
    return " ".join((wire(facts.version), *times, wire(facts.seen), *words))


def decode_facts(record: bytes | None) -> Facts | None:
    """The facts at the beginning of a record. None if there are none."""
    match = None if record is None else _FACTS.fullmatch(record[:_FACTS_LENGTH])
    if match is None:
        return None
    version, started, confirmed, seen, *words = map(bytes.decode, match.groups())
    ticket = Ticket(*(Words(*words[n : n + 3]) for n in (0, 3, 6)))
    times = int(started) / 1_000_000, int(confirmed) / 1_000_000
    return Facts(_version(version), ticket, *times, _version(seen))


def _encode(slot: Slot) -> Sequence[str]:
    mark = "" if slot.mark is None else encode_mark(slot.mark)
    facts = "" if slot.stored is None else encode_facts(slot.stored)
    refusal = slot.refusal
    noted = "" if refusal is None else f"{wire(refusal.version)} {micros(refusal.first)}"
    return mark, facts, noted


def _decode_refusal(record: bytes | None) -> Refusal | None:
    match = None if record is None else _REFUSAL.fullmatch(record)
    version = None if match is None else _version(match[1].decode())
    return None if match is None or version is None else Refusal(version, int(match[2]) / 1_000_000)


def _version(text: str) -> Instant | None:
    """The version. None if the digits mean no version, or cannot be read."""
    with suppress(ValueError):
        return None if text == NO_VERSION else from_wire(text)
    return None
