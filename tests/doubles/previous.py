"""The envelope as the release before this one wrote it: frozen, whatever records.py becomes.

Its schema number is one lower than ours. It shares Redis and the channel of the bus with this
release, and nothing else.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec
import redis.asyncio as driver

from gateway.adapters.redis.records import SCHEMA as OURS
from gateway.core.cache.entry import Key

SCHEMA = OURS - 1

_HEAD_AT = 1 + 16 + 4


def body_name(key: Key, prefix: str = "gateway") -> str:
    """Where that release keeps a body."""
    return f"{prefix}:{{{key.training_id}}}:b{SCHEMA}:{key.partition}"


def encode(key: Key, version: str, body: bytes) -> bytes:
    """An envelope of that release: its head is a map, with half of the fields that ours has."""
    head = msgspec.msgpack.encode(
        {"partition": key.partition, "id": key.training_id, "status": 200, "version": version}
    )
    rest = len(head).to_bytes(4, "big") + head + body
    return bytes((SCHEMA,)) + blake2b(rest, digest_size=16).digest() + rest


def decode(data: bytes) -> tuple[str, bytes] | None:
    """Version and body; None for what is of another release."""
    if data[:1] != bytes((SCHEMA,)):
        return None
    body_at = _HEAD_AT + int.from_bytes(data[_HEAD_AT - 4 : _HEAD_AT], "big")
    head = msgspec.msgpack.decode(data[_HEAD_AT:body_at])
    return head["version"], data[body_at:]


class PreviousRelease:
    """What a replica of that release does with bodies, and what it says on the bus."""

    def __init__(self, client: driver.Redis) -> None:
        self._client = client

    async def write(self, key: Key, version: str, body: bytes) -> None:
        """Store a body."""
        await self._client.set(body_name(key), encode(key, version, body), px=60_000)

    async def read(self, key: Key) -> tuple[str, bytes] | None:
        """The body, where there is one of its own."""
        data: bytes | None = await self._client.get(body_name(key))  # type: ignore[assignment]
        return None if data is None else decode(data)

    async def tell(self, training_id: str) -> None:
        """A notice of its own schema, which the next one names as all do."""
        before = await self._client.hget("gateway:{bus}:record", "last")
        assert isinstance(before, bytes)
        word = f"{0x7E11:016x}".encode()
        await self._client.hset("gateway:{bus}:record", "last", word)
        notice = {"schema": SCHEMA, "sender": "previous", "about": [training_id]}
        text = b" ".join((before, word, msgspec.json.encode(notice)))
        await self._client.publish("gateway:bus:@all", text)
