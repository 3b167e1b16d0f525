"""Unit: connections are bounded, and none is lost to callers that leave or come too late."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.errors import GateClosed, UpstreamTimeout
from gateway.core.vocabulary import FailureReason
from tests.doubles.loop_time import stall
from tests.unit.adapters.upstream.peers import (
    Mute,
    Peer,
    Silent,
    request,
    server_tls,
    settle,
    trusting,
    upstream,
)


async def test_a_call_waits_for_a_slot_until_its_deadline() -> None:
    """With all connections busy, a call ends unsent; one that leaves first frees its place."""
    peer = Silent()
    async with peer.listening() as url, upstream(url, connections=1) as adapter:
        first = asyncio.create_task(adapter.call(request()))
        await settle()
        with pytest.raises(UpstreamTimeout) as caught:
            await adapter.call(request(within=0.05))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    assert (caught.value.reason, caught.value.sent) == (FailureReason.POOL_TIMEOUT, False)
    assert len(peer.heads) == 1


async def test_calls_that_hang_leave_half_of_the_connections_to_others() -> None:
    """With one token half of the calls run and the others wait; with another token one is sent at
    once. A token without calls leaves nothing behind."""
    peer = Silent()
    async with peer.listening() as url, upstream(url, connections=8) as adapter:
        hanging = [asyncio.create_task(adapter.call(request())) for _ in range(20)]
        await until(lambda: len(peer.heads) == 4)
        other = asyncio.create_task(adapter.call(request(token="another")))
        await until(lambda: len(peer.heads) == 5)
        await settle()
        sent = len(peer.heads)
        for each in (*hanging, other):
            each.cancel()
        await asyncio.gather(*hanging, other, return_exceptions=True)

    assert sent == 5
    assert b"Bearer another" in peer.heads[-1]


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what the other end of a connection sees."""
    for _ in range(500):
        if is_so():
            break
        await asyncio.sleep(0.01)


async def test_a_deadline_that_passes_before_a_call_is_sent_is_no_slow_connection() -> None:
    """The connection stood; the gateway itself was not ready."""
    async with Peer().listening() as url, upstream(url) as adapter:
        late = replace(request(within=0.05), before_send=lambda: asyncio.sleep(9.0))
        with pytest.raises(UpstreamTimeout) as caught:
            await adapter.call(late)

    assert (caught.value.reason, caught.value.sent) == (FailureReason.POOL_TIMEOUT, False)


@pytest.mark.parametrize("is_secure", [False, True], ids=["tcp", "tls"])
async def test_callers_that_leave_at_any_moment_cost_no_connection(is_secure: bool) -> None:
    """After 800 calls cancelled at all stages (httpcore#1093, #1099), two connections can still be
    used, and no other socket is open."""
    peer = Peer()
    async with (
        peer.listening(server_tls() if is_secure else None) as url,
        upstream(url.replace("127.0.0.1", "localhost"), connections=2, tls=trusting()) as adapter,
    ):
        before = await _sockets()
        for turns in range(200):
            calls = [asyncio.create_task(adapter.call(request())) for _ in range(4)]
            for _ in range(turns % 40):
                await asyncio.sleep(0)
            for each in calls:
                each.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        replies = await asyncio.gather(*(adapter.call(request()) for _ in range(8)))
        more = await _sockets() - before

    assert [reply.status for reply in replies] == [200] * 8
    assert more <= 4  # both ends of two connections


async def _sockets() -> int:
    """The open sockets of this process, once their number stands still."""
    count = -1
    for _ in range(100):
        last, count = count, _open_sockets()
        if last == count:
            break
        await asyncio.sleep(0.05)
    return count


def _open_sockets() -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count


async def test_connects_that_time_out_cost_no_connection() -> None:
    """After 200 calls to a peer that shakes no hands, a peer that does is reached again."""
    peer = Mute()
    async with peer.listening() as url:
        secure = url.replace("http:", "https:")
        async with upstream(secure, connections=20, connect_timeout=0.03) as adapter:
            calls = [adapter.call(request(within=0.02 + n % 20 / 400)) for n in range(200)]
            failures = await asyncio.gather(*calls, return_exceptions=True)
            with pytest.raises(UpstreamTimeout) as caught:
                await adapter.call(request(within=1.0))

    assert {type(failure) for failure in failures} == {UpstreamTimeout}
    assert not any(failure.sent for failure in failures if isinstance(failure, UpstreamTimeout))
    assert caught.value.reason is FailureReason.CONNECT_TIMEOUT  # a slot was free for it


async def test_what_is_given_up_while_connecting_is_never_sent() -> None:
    """A connection that stands after its caller left carries no request."""
    peer = Peer()
    async with peer.listening() as url, upstream(url) as adapter:
        leaving = asyncio.create_task(adapter.call(request()))
        for _ in range(3):
            await asyncio.sleep(0)
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving
        await adapter.close()
        await settle()

    assert peer.heads == []


@pytest.mark.parametrize("is_secure", [False, True], ids=["tcp", "tls"])
async def test_a_stall_of_ours_while_connecting_is_no_timeout(is_secure: bool) -> None:
    """At whatever turn of the loop it comes."""
    peer = Peer()
    async with peer.listening(server_tls() if is_secure else None) as url:
        named = url.replace("127.0.0.1", "localhost") if is_secure else url
        statuses = [await status_after_stall(named, turns) for turns in range(1, 30)]

    assert statuses == [200] * 29


async def status_after_stall(url: str, turns: int) -> int:
    """What a call on a new connection brings, the loop of which stalls after so many turns."""
    async with upstream(url, tls=trusting()) as adapter:
        asked = asyncio.create_task(adapter.call(request()))
        for _ in range(turns):
            await asyncio.sleep(0)
        stall(10.0)
        return (await asked).status


async def test_a_call_is_told_before_it_is_sent() -> None:
    """Once it has its connection. If it is withheld then, nothing is sent."""
    peer, reached = Peer(), []

    async def withhold() -> None:
        await settle()
        reached.append((peer.connections, len(peer.heads)))
        raise GateClosed("the API asked the gateway to wait", retry_after=1.0)

    async with peer.listening() as url, upstream(url) as adapter:
        with pytest.raises(GateClosed):
            await adapter.call(replace(request(), before_send=withhold))
        reply = await adapter.call(request())

    assert reached == [(1, 0)]
    assert (reply.status, len(peer.heads)) == (200, 1)
