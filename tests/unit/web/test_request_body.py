"""The body of an order: read whole, bounded in size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive

from gateway.core.errors import BadRequest, NoRoom, TooLarge
from gateway.web.request import Room, read_body

MAX_BYTES = 64 * 1024
_POST = {"type": "http", "method": "POST", "path": "/purge", "headers": []}


def arriving(chunks: Iterable[bytes], *, then: Receive | None = None) -> Request:
    """A request whose body comes in these chunks; unless it ends with them, `then` goes on."""
    messages = [{"type": "http.request", "body": each, "more_body": True} for each in chunks]
    if then is None:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    left = iter(messages)

    async def receive() -> Message:
        message = next(left, None)
        if message is not None:
            return message
        assert then is not None, "asked for more than the whole body"
        return await then()

    return Request(_POST, receive)


async def _nothing() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def _gone() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("chunks", [[], [b"{}"], [b"{", b"", b"}"], [b"x" * MAX_BYTES]])
async def test_a_body_is_read_whole(chunks: list[bytes]) -> None:
    """In however many chunks, up to the bound."""
    assert await read_body(arriving(chunks), MAX_BYTES) == b"".join(chunks)


@pytest.mark.parametrize("chunks", [[b"x" * (MAX_BYTES + 1)], [b"x" * MAX_BYTES, b"x"]])
async def test_a_large_body_is_refused_as_it_comes(chunks: list[bytes]) -> None:
    """At once, without waiting for an end that may never come."""
    with pytest.raises(TooLarge, match="65536 bytes"):
        await read_body(arriving(chunks, then=_nothing), MAX_BYTES)


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """After the patience is out it is a bad request."""
    with pytest.raises(BadRequest, match=r"within 0\.01 s"):
        await read_body(arriving([b"{"], then=_nothing), MAX_BYTES, patience=0.01)


async def test_a_caller_who_leaves_ordered_nothing() -> None:
    """Half a body is none, also where the half could be read."""
    with pytest.raises(BadRequest, match="connection ended"):
        await read_body(arriving([b"{}"], then=_gone), MAX_BYTES)


async def test_bodies_are_bounded_together() -> None:
    """A part that has no room is refused as it comes. It takes nothing from the next body."""
    room = Room(3)

    with room.share() as first, room.share() as second:
        assert await read_body(arriving([b"ab"]), MAX_BYTES, take=first) == b"ab"
        with pytest.raises(NoRoom, match="3 bytes"):
            await read_body(arriving([b"cd"], then=_nothing), MAX_BYTES, take=second)
        assert await read_body(arriving([b"c"]), MAX_BYTES, take=second) == b"c"

    with room.share() as third:
        assert await read_body(arriving([b"abc"]), MAX_BYTES, take=third) == b"abc"
