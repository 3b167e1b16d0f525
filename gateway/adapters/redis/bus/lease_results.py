"""Endings of fetches that lead, as they arrive on this replica's own channel.

Lives here: their bytes, and who waits for them. Nothing that arrives is trusted; an ending that
nobody awaits yet is kept for a while, since it may overtake the reply that says whom to follow.
"""

from __future__ import annotations

import asyncio
import math
import re
from typing import Final

import msgspec
from cachetools import LRUCache

from gateway.adapters.redis.bus.messages import NoticeRefused
from gateway.core.cache.lease_result import Ending
from gateway.core.http.traceparent import TRACEPARENT

# Goes up when the format changes; an ending of another schema says nothing, and a follower that
# cannot read it elects again.
SCHEMA: Final = 1

_HEARD_LATELY: Final = 1_000
_LONGEST: Final = 4_096
_ENDED = re.compile(rb"ended ([0-9a-f]{16}) (.+)", re.DOTALL)


class _Written(msgspec.Struct, array_like=True, frozen=True):
    schema: int
    ending: msgspec.Raw


_encoder = msgspec.json.Encoder()
_written = msgspec.json.Decoder(_Written)
_endings = msgspec.json.Decoder(Ending)


def encode_ending(ending: Ending) -> bytes:
    """The ending as it stands in Redis."""
    return _encoder.encode(_Written(SCHEMA, msgspec.Raw(_encoder.encode(ending))))


def decode_ending(data: bytes) -> Ending:
    """The ending in these bytes; raises NoticeRefused and nothing else."""
    if len(data) > _LONGEST:
        raise NoticeRefused("size")
    try:
        written = _written.decode(data)
        if written.schema != SCHEMA:
            raise NoticeRefused("schema")
        ending = _endings.decode(written.ending)
    except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
        raise NoticeRefused("words") from fault
    if not _makes_sense(ending):
        raise NoticeRefused("sense")
    return ending


def is_ended(data: bytes) -> bool:
    """Whether a message on a replica's own channel tells of an ending."""
    return data.startswith(b"ended ")


def decode_ended(data: bytes) -> tuple[str, Ending]:
    """The token of the fetch that ended, and how; raises NoticeRefused and nothing else."""
    match = _ENDED.fullmatch(data)
    if match is None:
        raise NoticeRefused("words")
    return match[1].decode(), decode_ending(match[2])


def _makes_sense(ending: Ending) -> bool:
    wait, status, trace = ending.retry_after, ending.status, ending.trace
    return (
        (wait is None or (math.isfinite(wait) and wait >= 0.0))
        and (status is None or 100 <= status <= 599)
        and (trace is None or TRACEPARENT.fullmatch(trace.encode()) is not None)
    )


class Endings:
    """What was heard lately, and who waits for more."""

    def __init__(self) -> None:
        self._heard: LRUCache[str, Ending] = LRUCache(_HEARD_LATELY)
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def take(self, token: str, ending: Ending) -> None:
        """The fetch with that token ended so."""
        self._heard[token] = ending
        for ended in self._waiting.get(token, ()):
            ended.set()

    async def wait(self, token: str, patience: float) -> Ending | None:
        """The ending of the fetch with that token; None if none came within so many seconds."""
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
