"""Lease on Redis: one replica leads the fetch of a key. The followers learn how the fetch ended.

The rules are in lua/lease.lua. An ending (how a fetch ended) arrives on the channel of this
replica. If the ending is missed, the replica reads it from Redis. An ending can arrive before the
reply to `take`, which names the fetch to follow. The newest endings are therefore remembered.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec
from cachetools import LRUCache
from msgspec import Meta

from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.keys import ear
from gateway.adapters.redis.messages import NoticeRefused
from gateway.adapters.redis.records import Raw, decode_slot
from gateway.adapters.redis.store import RedisStore
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import Words
from gateway.core.vocabulary import EndingKind, FailureReason, RedisOperation
from gateway.ports import Ending, Taken

_MOST_HEARD: Final = 1_000  # endings that are remembered
_ENDED = re.compile(rb"ended ([0-9a-f]{16}) (.+)", re.DOTALL)


class _Written(msgspec.Struct, array_like=True, frozen=True):
    """An `Ending` in Redis and on the bus."""

    kind: EndingKind
    reason: FailureReason | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    retry_after: Annotated[float, Meta(ge=0.0, le=1e9)] | None = None


_decoder = msgspec.json.Decoder(_Written)


def encode_ending(ending: Ending) -> bytes:
    """The ending as Redis stores it."""
    written = _Written(ending.kind, ending.reason, ending.status, ending.retry_after)
    return msgspec.json.encode(written)


def decode_ending(data: bytes) -> Ending:
    """The ending in these bytes. Raises only NoticeRefused."""
    try:
        told = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        raise NoticeRefused("words") from fault
    return Ending(told.kind, told.reason, told.status, told.retry_after)


def is_ended(data: bytes) -> bool:
    """Whether a message on the channel of a replica reports an ending."""
    return data.startswith(b"ended ")


def decode_ended(data: bytes) -> tuple[str, Ending]:
    """The token of the fetch, and its ending. Raises only NoticeRefused."""
    match = _ENDED.fullmatch(data)
    if match is None:
        raise NoticeRefused("words")
    return match[1].decode(), decode_ending(match[2])


class Endings:
    """The endings that arrived last, and the callers that wait for endings."""

    def __init__(self) -> None:
        self._heard: LRUCache[str, Ending] = LRUCache(_MOST_HEARD)
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def take(self, token: str, ending: Ending) -> None:
        self._heard[token] = ending
        for ended in self._waiting.get(token, ()):
            ended.set()

    async def wait(self, token: str, patience: float) -> Ending | None:
        """The ending of the fetch with this token. None if it did not come within `patience`
        seconds."""
        if token in self._heard:
            return self._heard[token]
        ended = asyncio.Event()
        waiting = self._waiting.setdefault(token, set())
        waiting.add(ended)
        try:
            async with asyncio.timeout(patience):
                await ended.wait()
        except TimeoutError:
            return None
        finally:
            waiting.discard(ended)
            if not waiting:
                self._waiting.pop(token, None)
        return self._heard.get(token)


# How long (ms) an ending and the list of followers are kept. Followers ask Redis more often, so
# they find an ending that they missed.
_KEEP: Final = 3_000


class RedisLease:
    """The leases of one replica.

    store     begins the fetches
    endings   receives the endings that arrive on the bus
    replica   the name of this replica on the bus
    lifetime  a lease ends after this many seconds, if it is not renewed
    """

    def __init__(
        self,
        store: RedisStore,
        endings: Endings,
        *,
        replica: str,
        lifetime: float = 3.0,
    ) -> None:
        self._store = store
        self._connection = store.connection
        self._names = store.names
        self._endings = endings
        self._replica = replica
        self._channels = ear(store.names.prefix, "")
        self.lifetime = lifetime
        self._elect = Script.load("lease", "elect", needs=["mark"])
        self._renew = Script.load("lease", "renew")
        self._release = Script.load("lease", "release")
        self._watch = Script.load("lease", "watch")

    async def take(self, key: Key) -> Taken:
        shared, (started, training, token, leads, confirmed) = await asyncio.gather(
            self._store.shared_words(key.partition, RedisOperation.LEASE),
            self._connection.run_script(
                RedisOperation.LEASE,
                self._elect,
                (*self._names.slot(key)[:2], *self._leases(key)),
                (
                    *self._store.new_mark(),
                    self._store.new_word(),
                    self._lifetime_ms,
                    self._replica,
                    _KEEP,
                ),
                _read_taken,
            ),
        )
        return Taken(shared.begun(started, training), token, leads, confirmed)

    async def renew(self, key: Key, token: str) -> bool:
        return await self._connection.run_script(
            RedisOperation.LEASE,
            self._renew,
            self._leases(key)[:1],
            (token, self._lifetime_ms),
            lambda reply: int(reply[0]) == 1,
        )

    async def release(self, key: Key, token: str, ending: Ending) -> None:
        await self._connection.run_script(
            RedisOperation.LEASE,
            self._release,
            self._leases(key),
            (token, encode_ending(ending), _KEEP, self._channels),
            lambda _: None,
        )

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        heard = await self._endings.wait(token, patience)
        if heard is not None:
            return heard
        return await self._connection.run_script(
            RedisOperation.LEASE,
            self._watch,
            self._leases(key),
            (token, self._replica, _KEEP),
            _read_ending,
        )

    @property
    def _lifetime_ms(self) -> int:
        return max(1, round(self.lifetime * 1000))

    def _leases(self, key: Key) -> tuple[str, str]:
        """The keys of the lease and of the list of its followers, in the slot of the training."""
        stem = self._names.stem(key.training_id)
        return f"{stem}:l:{key.partition}", f"{stem}:q:{key.partition}"


def _read_taken(reply: Sequence[Any]) -> tuple[float, Words, str, bool, float]:
    record, stamp, token, leads, facts = reply
    slot = decode_slot(Raw(record, facts))
    if slot.mark is None:
        raise ValueError("the reply has no mark")
    started, confirmed = int(stamp) / 1_000_000, slot.stored.confirmed if slot.stored else 0.0
    return started, slot.mark.words, token.decode(), int(leads) == 1, confirmed


def _read_ending(reply: Sequence[Any]) -> Ending | None:
    """The ending that `watch` found. GONE also if its bytes cannot be read, perhaps because another
    release wrote them."""
    if reply[0] == b"held":
        return None
    with suppress(NoticeRefused):
        if reply[0] == b"ended":
            return decode_ending(reply[1])
    return Ending(EndingKind.GONE)
