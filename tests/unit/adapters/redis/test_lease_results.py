"""endings: they come back as they were, nothing that arrives surprises, and nobody is missed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.adapters.redis.lease import (
    Endings,
    decode_ended,
    decode_ending,
    encode_ending,
    is_ended,
)
from gateway.adapters.redis.messages import NoticeRefused
from gateway.core.vocabulary import EndingKind
from gateway.ports import Ending

TOKEN = "0123456789abcdef"
DONE = Ending(EndingKind.DONE)


def ended(ending: bytes, token: str = TOKEN) -> bytes:
    """The message that Redis makes of an ending."""
    return b"ended %s %s" % (token.encode(), ending)


@given(data=st.binary(max_size=200))
@example(b"")
@example(b"[]")
@example(b'["renamed"]')
@example(b'[1,{"kind":"done"}]')
@example(b"[" * 3_000)
@example(b'["failed","renamed"]')
@example(b'["failed","tls",99]')
@example(b'["failed","tls","200"]')
@example(b'["failed","tls",null,-1]')
@example(b'["failed","tls",null,1e999]')
def test_foreign_bytes_are_refused(data: bytes) -> None:
    """With the one error there is."""
    for message in (data, ended(data), ended(encode_ending(DONE), "no token")):
        with pytest.raises(NoticeRefused):
            decode_ended(message)
    with pytest.raises(NoticeRefused):
        decode_ending(data)


def test_an_answer_is_no_ending() -> None:
    """Both come on the same channel."""
    assert not is_ended(b'{"schema":2,"sender":"ended","request":1}')


async def test_all_who_wait_hear() -> None:
    """Of their own token alone."""
    endings = Endings()
    mine = [asyncio.create_task(endings.wait(TOKEN, 60.0)) for _ in range(2)]
    other = asyncio.create_task(endings.wait("f" * 16, 60.0))
    await asyncio.sleep(0)

    endings.take(TOKEN, DONE)

    assert await asyncio.gather(*mine) == [DONE, DONE]
    await asyncio.sleep(0)
    assert not other.done()
    other.cancel()


async def test_an_ending_waits_for_who_is_late() -> None:
    """It may overtake the reply that says whom to follow."""
    endings = Endings()
    endings.take(TOKEN, DONE)

    assert await endings.wait(TOKEN, 60.0) == DONE


async def test_patience_ends_the_waiting() -> None:
    """And one who leaves takes nobody else along."""
    endings = Endings()
    leaving, staying = (asyncio.create_task(endings.wait(TOKEN, 60.0)) for _ in range(2))
    assert await endings.wait(TOKEN, 0.0) is None

    leaving.cancel()
    await asyncio.sleep(0)
    endings.take(TOKEN, DONE)

    assert await staying == DONE


async def test_what_nobody_awaits_is_forgotten_in_the_end() -> None:
    """A thousand are kept."""
    endings = Endings()
    for number in range(1_001):
        endings.take(f"{number:016x}", DONE)

    assert await endings.wait("0" * 16, 0.0) is None
    assert await endings.wait(f"{1_000:016x}", 0.0) == DONE
