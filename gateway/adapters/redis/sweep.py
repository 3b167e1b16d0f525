"""The sweeps in Redis: their leaders and progress, and the comparison of pages with what is stored.

The rules are in lua/sweep.lua, and in core/sweep/list_item. The catalogue has a record for its
head, and one for each of its pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.store import RedisStore, SlotRead
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import Marks, Ticket
from gateway.core.sweep.catalogue import Head, Leaf, News
from gateway.core.sweep.list_item import Judged, Listed, ListVerdict, judge
from gateway.core.sweep.progress import Progress
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Compared, Found, Turn

# If no replica continues a sweep, Redis forgets its progress after this time (ms).
_KEEP: Final = 24 * 3600 * 1000

# If the stored progress has another prefix (another format), the sweep starts again.
_SCHEMA: Final = b"2 "

# At most this many pages of a catalogue are read at once. A hundred rows have about 7 KB.
_PAGES_AT_ONCE: Final = 20

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Progress)
_heads = msgspec.msgpack.Decoder(Head)
_leaves = msgspec.msgpack.Decoder(Leaf)


class RedisSweep:
    """The sweeps, as one replica uses them, on what RedisStore has stored.

    pause_after  the sweep of a partition pauses after this many seconds without a read by callers
    keep         for this many seconds an entry is kept that the list confirms
    lifetime     after this many seconds another replica can replace a leader that died
    """

    def __init__(
        self, store: RedisStore, *, pause_after: float, keep: float, lifetime: float = 5.0
    ) -> None:
        self._store = store
        self._connection = store.connection
        self._names = store.names
        self._pause_after = max(1, round(pause_after * 1000))
        self._keep = keep
        self._token = store.new_word()  # marks this replica as the leader
        self.lifetime = lifetime
        self._take = Script.load("sweep", "take")
        self._note = Script.load("sweep", "note")

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        lead = self._name(partition, "l")
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._take,
            (lead, self._name(partition, "p"), self._name(partition, "r")),
            (self._token, round(self.lifetime * 1000), int(was_read), self._pause_after),
            _read_turn,
        )

    async def note(self, partition: str, progress: Progress, news: News | None = None) -> bool:
        head = page = b""
        if news is not None:
            page = msgspec.msgpack.encode(news.page)
            head = b"" if news.head is None else msgspec.msgpack.encode(news.head)
        first = 0 if news is None else news.first
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._note,
            [self._name(partition, each) for each in ("l", "p", "c", f"c:{first}")],
            (self._token, encode_progress(progress), _KEEP, head, page),
            lambda reply: int(reply[0]) == 1,
        )

    async def catalogue(
        self, partition: str, known: Mapping[int, Leaf]
    ) -> tuple[Head, Mapping[int, Leaf]] | None:
        try:
            (record,) = await self._read(partition, ("c",))
            head, pages = _heads.decode(record or b""), {}
            for first, as_of in head.pages.items():
                if first in known and known[first].as_of == as_of:
                    pages[first] = known[first]
            new = [first for first in head.pages if first not in pages]
            for start in range(0, len(new), _PAGES_AT_ONCE):
                firsts = new[start : start + _PAGES_AT_ONCE]
                records = await self._read(partition, [f"c:{first}" for first in firsts])
                for first, each in zip(firsts, records, strict=True):
                    pages[first] = _leaves.decode(each or b"")
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return head, pages

    async def _read(self, partition: str, names: Sequence[str]) -> Sequence[bytes | None]:
        whole = [self._name(partition, each) for each in names]
        return await self._connection.read(RedisOperation.SWEEP, whole)

    async def compare(
        self, partition: str, items: Sequence[Listed], page: Ticket, *, stores: bool
    ) -> list[Compared]:
        keys = [Key(partition, item.training_id) for item in items]
        shared, read = await asyncio.gather(
            self._store.shared_marks(RedisOperation.SWEEP, [partition]),
            self._store.read_slots(RedisOperation.SWEEP, keys),
        )
        new_word = self._store.new_word if stores else None
        judged = [
            judge(item, Marks(*shared[partition], each.slot.mark), each.slot, page, new_word)
            for item, each in zip(items, read, strict=True)
        ]
        are_written = await asyncio.gather(
            *(self._write(*each) for each in zip(keys, read, judged, strict=True))
        )
        return [
            _compared(Marks(*shared[partition], each.slot.mark), each, was.is_held)
            if is_written
            else _CHANGED_MEANWHILE
            for was, each, is_written in zip(read, judged, are_written, strict=True)
        ]

    async def _write(self, key: Key, before: SlotRead, judged: Judged) -> bool:
        """Write the slot if the item has changed it. False if it was changed meanwhile."""
        if judged.slot is before.slot:
            return True
        return await self._store.write_slot(key, before, judged.slot, self._keep)

    def _name(self, partition: str, what: str) -> str:
        """The name of a record of this partition: `l` the lead, `p` the progress, `r`
        exists if callers have read lately, `c` the head of the catalogue, `c:` and a row the page
        that begins with this row. All are in one slot."""
        return f"{self._names.prefix}:{{{partition}}}:s{what}"


def encode_progress(progress: Progress) -> bytes:
    """The progress as Redis stores it."""
    return _SCHEMA + _encoder.encode(progress)


def decode_progress(data: bytes) -> Progress:
    """The progress that Redis stored. If the bytes cannot be read, the result is the progress
    before the first sweep."""
    if not data.startswith(_SCHEMA):
        return Progress()
    try:
        progress = _decoder.decode(data[len(_SCHEMA) :])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Progress()
    return progress if progress.offset >= 0 else Progress()


def _read_turn(reply: Sequence[Any]) -> Turn:
    leads, progress, reads, stamp = reply
    return Turn(int(leads) == 1, decode_progress(progress), int(reads) == 1, int(stamp) / 1_000_000)


# The item is ignored, as one that is passed by an answer: the next page has the training again.
_CHANGED_MEANWHILE: Final = Compared(
    ListVerdict.PASSED, Found(Marks(), None), ticket=None, is_held=False
)


def _compared(marks: Marks, judged: Judged, is_held: bool) -> Compared:
    return Compared(judged.verdict, Found(marks, judged.slot.stored), judged.ticket, is_held)
