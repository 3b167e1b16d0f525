"""SweepLease on Redis: the leader of a partition's sweep, its progress, and the ids it met.

Lives here: which keys a step touches and what it is handed; the rules are in the scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
import redis.asyncio as driver

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.layout.keys import Names
from gateway.core.sweep.progress import Progress, is_last
from gateway.core.upstream.list_page import Page
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Advanced, Turn

# How long a sweep that nobody goes on with is remembered (ms).
_KEEP: Final = 24 * 3600 * 1000

# Longer than a body that was stored from the list (ms).
_KEEP_FILLED: Final = 7 * _KEEP

# Goes up when the form changes; a sweep of another form begins anew.
_SCHEMA: Final = b"1 "

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Progress)


class RedisSweepLease:
    """This replica's part in the sweeps; `replica` names it among all.

    `lifetime` (seconds) bounds how long a leader that died is waited for; `pause_after`
    (seconds): for how long a read counts.
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        *,
        entropy: Callable[[], str],
        pause_after: float,
        lifetime: float = 5.0,
    ) -> None:
        self._connection = connection
        self._prefix = Names(prefix).prefix
        self._token = entropy()
        self._pause_after = max(1, round(pause_after * 1000))
        self.lifetime = lifetime
        self._take = Script.load("sweep_take")
        self._advance = Script.load("sweep_advance")
        self._note = Script.load("sweep_note")
        self._release = Script.load("sweep_release")

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """Take the lead, keep it, or look on."""
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
        """A page was dealt with; None where the lead is lost."""
        ids = [training.id for training in page.items]
        return await self._connection.run_script(
            RedisOperation.SWEEP,
            self._advance,
            self._names(partition)[:4],
            (
                self._token,
                encode_progress(progress),
                _KEEP,
                before.offset,
                int(is_last(page)),
                before.last_id,
                *ids,
            ),
            _read_advanced,
        )

    async def note(self, partition: str, progress: Progress) -> bool:
        """Go on from there; False where the lead is lost."""
        return await self._noted(partition, progress, "")

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """A sweep came to its end; False where the lead is lost."""
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
        """These were stored from the list."""
        name = self._filled(partition)

        async def command(client: Any) -> None:
            async with client.pipeline(transaction=False) as pipe:
                pipe.sadd(name, *training_ids)
                pipe.pexpire(name, _KEEP_FILLED)
                await pipe.execute()

        await self._connection.execute(RedisOperation.SWEEP, command, at=name)

    async def filled(self, partition: str) -> list[str]:
        """All that were, as far as it is known."""
        name = self._filled(partition)

        async def command(client: Any) -> list[str]:
            return sorted(each.decode() for each in await client.smembers(name))

        return await self._connection.execute(RedisOperation.SWEEP, command, at=name)

    async def forget_filled(self, partition: str) -> None:
        """None of them is any more."""
        name = self._filled(partition)

        async def command(client: driver.Redis) -> None:
            await client.delete(name)

        await self._connection.execute(RedisOperation.SWEEP, command, at=name)

    def _filled(self, partition: str) -> str:
        return f"{self._prefix}:{{{partition}}}:sf"

    async def release(self, partition: str) -> None:
        """Let another replica lead at once: shorten the lead to nothing, if it is ours."""
        lead = self._names(partition)[0]
        await self._connection.run_script(
            RedisOperation.SWEEP, self._release, (lead,), (self._token,), lambda _: None
        )

    def _names(self, partition: str) -> tuple[str, str, str, str, str]:
        """All in one slot: the lead, the progress, those met by this sweep, those known from
        the last complete one, and that somebody reads."""
        stem = f"{self._prefix}:{{{partition}}}:s"
        return f"{stem}l", f"{stem}p", f"{stem}m", f"{stem}k", f"{stem}r"


def encode_progress(progress: Progress) -> bytes:
    """The progress as it stands in Redis."""
    return _SCHEMA + _encoder.encode(progress)


def decode_progress(data: bytes) -> Progress:
    """What stands in Redis; where that is none, a sweep that begins."""
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
