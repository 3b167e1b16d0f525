"""The sweeps in Redis: their leaders and progress, and the comparison of pages with the floors.

The rules are in lua/sweep.lua.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, Final

import msgspec
import redis.asyncio as driver

from gateway.adapters.redis.connect.clock_offsets import of_standing
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.key_state import encode_renewed, read_standing
from gateway.adapters.redis.keys import Names
from gateway.adapters.redis.records import micros, version
from gateway.core.cache.entry import Key
from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.sweep.progress import Progress, is_last
from gateway.core.upstream.list_page import Page
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Advanced, Compared, Turn

# If no replica continues a sweep, Redis forgets its progress after this time (ms).
_KEEP: Final = 24 * 3600 * 1000

# If the stored progress has another prefix (an older format), the sweep starts again.
_SCHEMA: Final = b"1 "

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Progress)


class RedisSweepLease:
    """The lease of the sweeps, as one replica uses it, and how far the sweeps have come.

    entropy       makes the token that marks this replica as the leader
    pause_after   the sweep of a partition pauses after this many seconds without a read by callers
    longest_keep  see RedisStore
    lifetime      after this many seconds another replica can replace a leader that died
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        *,
        entropy: Callable[[], str],
        pause_after: float,
        longest_keep: float,
        lifetime: float = 5.0,
    ) -> None:
        self._connection = connection
        self._prefix = Names(prefix).prefix
        self._token = entropy()
        self._pause_after = max(1, round(pause_after * 1000))
        # How long Redis keeps the record of the trainings stored from the list (ms): as long as a
        # floor. Each page renews this time.
        self._keep_filled = _floor_keep(longest_keep)
        self.lifetime = lifetime
        self._take = Script.load("sweep", "take")
        self._advance = Script.load("sweep", "advance")
        self._note = Script.load("sweep", "note")
        self._release = Script.load("sweep", "release")

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """As `SweepLease.take`."""
        lead, progress, _, _, reads = self._names(partition)
        turn = await self._connection.run_script(
            RedisOperation.SWEEP,
            self._take,
            (lead, progress, reads),
            (self._token, round(self.lifetime * 1000), int(was_read), self._pause_after),
            _read_turn,
        )
        return replace(turn, now=turn.now - self._connection.skew(lead))

    async def advance(
        self, partition: str, progress: Progress, page: Page, before: Progress
    ) -> Advanced | None:
        """As `SweepLease.advance`."""
        ids = [training.id for training in page.items]
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._advance,
            (*self._names(partition)[:4], self._filled(partition)),
            (
                self._token,
                encode_progress(progress),
                _KEEP,
                self._keep_filled,
                before.offset,
                int(is_last(page)),
                before.last_id,
                *ids,
            ),
            _read_advanced,
        )

    async def note(self, partition: str, progress: Progress) -> bool:
        """As `SweepLease.note`."""
        return await self._noted(partition, progress, "")

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """As `SweepLease.finish`."""
        return await self._noted(partition, progress, "complete" if complete else "incomplete")

    async def _noted(self, partition: str, progress: Progress, end: str) -> bool:
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._note,
            self._names(partition)[:4],
            (self._token, encode_progress(progress), _KEEP, end),
            lambda reply: int(reply[0]) == 1,
        )

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """As `SweepLease.note_filled`."""
        name = self._filled(partition)

        async def command(client: Any) -> None:
            async with client.pipeline(transaction=False) as pipe:
                pipe.zadd(name, dict.fromkeys(training_ids, 0))
                pipe.pexpire(name, self._keep_filled)
                await pipe.execute()

        await self._connection.execute(RedisOperation.SWEEP, command, at=name)

    async def filled(self, partition: str, most: int) -> list[str]:
        """As `SweepLease.filled`."""
        name = self._filled(partition)

        async def command(client: Any) -> list[str]:
            return [each.decode() for each in await client.zrange(name, 0, most - 1)]

        return await self._connection.execute(RedisOperation.SWEEP, command, at=name)

    async def forget_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """As `SweepLease.forget_filled`."""
        name = self._filled(partition)

        async def command(client: driver.Redis) -> None:
            await client.zrem(name, *training_ids)

        await self._connection.execute(RedisOperation.SWEEP, command, at=name)

    def _filled(self, partition: str) -> str:
        """A sorted set, although all scores are 0: a part of a set can only be read with commands
        that the documented user of Redis may not use."""
        return f"{self._prefix}:{{{partition}}}:sz"

    async def release(self, partition: str) -> None:
        """As `SweepLease.release`."""
        lead = self._names(partition)[0]
        await self._connection.run_script(
            RedisOperation.SWEEP, self._release, (lead,), (self._token,), lambda _: None
        )

    def _names(self, partition: str) -> tuple[str, str, str, str, str]:
        """The keys, all in one slot: the lead, the progress, the ids of this sweep, the ids of the
        last complete sweep, and a key that exists if callers have read lately."""
        stem = f"{self._prefix}:{{{partition}}}:s"
        return f"{stem}l", f"{stem}p", f"{stem}m", f"{stem}k", f"{stem}r"


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


def _read_advanced(reply: Sequence[Any]) -> Advanced | None:
    holds, distinct, *absent = reply
    if int(holds) != 1:
        return None
    return Advanced(int(distinct), tuple(each.decode() for each in absent))


class RedisLists:
    """The `ListStore` that uses the floors and bodies of RedisStore. `longest_keep`: see
    RedisStore."""

    def __init__(self, connection: Connection, prefix: str, *, longest_keep: float) -> None:
        self._connection = connection
        self._names = Names(prefix)
        self._longest_keep = longest_keep
        self._floor_keep = _floor_keep(longest_keep)
        self._compare = Script.load("sweep", "compare", needs=["floor"])
        self._take_back = Script.load("sweep", "take_back", needs=["floor"])

    async def compare(self, partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        """As `ListStore.compare`. The `confirmed_at` of an item is converted to the clock of the
        node that has the training."""
        keeps = (max(1, int(min(keep, self._longest_keep) * 1000)), self._floor_keep)
        keys = [Key(partition, item.training_id) for item in items]
        skews = [self._connection.skew(self._names.floor(key)) for key in keys]
        asked = [
            (self._names.judged(key), _listed(item, skew))
            for key, item, skew in zip(keys, items, skews, strict=True)
        ]
        # The keys of one script run must be in one slot, so in a cluster each run has one item.
        runs = [(asked, 0.0)]
        if not self._connection.is_alone:
            runs = [([each], skew) for each, skew in zip(asked, skews, strict=True)]
        told = await asyncio.gather(
            *(
                self._connection.run_script(
                    RedisOperation.SWEEP,
                    self._compare,
                    list(chain.from_iterable(names for names, _ in run)),
                    list(chain(keeps, *(arguments for _, arguments in run))),
                    partial(_read, skew=skew),
                )
                for run, skew in runs
            )
        )
        return list(chain.from_iterable(told))

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """As `ListStore.take_back`."""
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._take_back,
            self._names.touched(key)[:2],
            (version(updated_at), self._floor_keep),
            lambda reply: int(reply[0]) == 1,
        )


def _floor_keep(longest_keep: float) -> int:
    """How long floors are kept (ms)."""
    return int(2 * longest_keep * 1000)


def _listed(item: Listed, skew: float) -> tuple[str | bytes | int, ...]:
    """The arguments of the script for one item."""
    there = item if skew == 0.0 else replace(item, confirmed_at=item.confirmed_at + skew)
    started = micros(there.confirmed_at)
    return version(item.updated_at), started, int(item.is_ahead), encode_renewed(there)


def _read(reply: Sequence[Any], skew: float) -> list[Compared]:
    return [_compared(skew, *reply[at : at + 3]) for at in range(0, len(reply), 3)]


def _compared(skew: float, said: bytes, record: bytes, held: int) -> Compared:
    standing = of_standing(read_standing(record) if record else None, skew)
    verdict, is_held = ListVerdict(said.decode()), int(held) == 1
    if standing is None:
        return Compared(verdict, None, is_held)
    return Compared(verdict, standing.floor, is_held, standing.last)
