"""The sweeps in Redis: their leaders and progress, and the comparison of pages with what is stored.

The rules are in lua/sweep.lua, and in core/sweep/list_item.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.store import RedisStore, SlotRead
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import Marks, Ticket
from gateway.core.sweep.list_item import Judged, Listed, ListVerdict, judge
from gateway.core.sweep.progress import Progress
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Compared, Found, Turn

# If no replica continues a sweep, Redis forgets its progress after this time (ms).
_KEEP: Final = 24 * 3600 * 1000

# If the stored progress has another prefix (another format), the sweep starts again.
_SCHEMA: Final = b"2 "

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Progress)


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

    async def note(self, partition: str, progress: Progress) -> bool:
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._note,
            (self._name(partition, "l"), self._name(partition, "p")),
            (self._token, encode_progress(progress), _KEEP),
            lambda reply: int(reply[0]) == 1,
        )

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
        exists if callers have read lately. All are in one slot."""
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
