"""Subscription: what it brings, and every way in which it can come to an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import redis

from gateway.adapters.redis.connect.subscription import Subscription, SubscriptionLost
from gateway.adapters.redis.connect.transport import Servers
from gateway.core.redis_url import read_address
from tests.doubles.hearer import until
from tests.doubles.loop_time import pass_time
from tests.support.redis_acl import without
from tests.support.servers import HOST, RedisServer, free_port

# As the gateways name theirs.
ONE, TWO = "gateway:bus:one", "gateway:bus:two"
PATIENCE = 0.3
# What a busy machine may add.
BUSY = 10.0

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def subscribed(url: str, patience: float = 60.0) -> Subscription:
    """To two channels."""
    return Subscription(Servers(read_address(url), patience, "gateway"), (ONE, TWO), patience)


async def test_messages_of_both_channels_arrive(redis_server: RedisServer) -> None:
    """In their order, bytes as they are; other channels are not heard."""
    messages = [(ONE, b"a"), (TWO, b"\x00\xff"), (ONE, b"")]
    async with subscribed(redis_server.url) as subscription:
        with redis_server.client() as client:
            for channel, data in [("three", b"x"), *messages]:
                client.publish(channel, data)

        assert [await subscription.message() for _ in messages] == messages


async def test_silence_is_borne_as_long_as_redis_lives(redis_server: RedisServer) -> None:
    """Messages after many times the patience still arrive."""
    async with subscribed(redis_server.url) as subscription:
        waiting = asyncio.create_task(subscription.message())
        with redis_server.client() as client:
            for _ in range(5):
                before = pings(client)
                await asyncio.sleep(0)  # it waits
                await pass_time(60.0)
                await until(lambda before=before: pings(client) > before)  # type: ignore[misc]
                await asyncio.sleep(0.1)  # the sign of life arrives
            client.publish(ONE, b"late")

        assert await waiting == (ONE, b"late")


def pings(client: redis.Redis) -> int:
    """How many Redis has answered."""
    return int(client.info("commandstats").get("cmdstat_ping", {}).get("calls", 0))


async def test_a_killed_connection_is_lost_at_once(own_redis: RedisServer) -> None:
    """And not silently made again."""
    async with subscribed(own_redis.url) as subscription:
        with own_redis.client() as client:
            client.client_kill_filter(_type="pubsub")

        with pytest.raises(SubscriptionLost):
            await subscription.message()


async def test_a_hung_redis_is_noticed(own_redis: RedisServer) -> None:
    """After the patience with silence, and the patience with the sign of life."""
    async with subscribed(own_redis.url, 5 * PATIENCE) as subscription:
        own_redis.pause()
        began = time.monotonic()

        with pytest.raises(SubscriptionLost, match="TimeoutError"):
            await subscription.message()

        assert 5 * PATIENCE < time.monotonic() - began < 10 * PATIENCE + BUSY


class Moving(Servers):
    """A way that leads elsewhere from a moment on."""

    found: tuple[str, int] | None = None

    @property
    def master(self) -> tuple[str, int] | None:
        return self.found


async def test_a_former_master_is_left(redis_server: RedisServer) -> None:
    """However well it answers: what the others tell is told at the new one."""
    route = Moving(read_address(redis_server.url), 60.0, "gateway")
    async with Subscription(route, (ONE, TWO), 60.0) as subscription:
        waiting = asyncio.create_task(subscription.message())
        await asyncio.sleep(0.1)
        assert not waiting.done()

        route.found = (HOST, 1)
        await pass_time(60.0)
        with pytest.raises(SubscriptionLost, match="the master has changed"):
            await waiting


async def test_nobody_there_is_no_subscription() -> None:
    """It is refused at once."""
    with pytest.raises(SubscriptionLost):
        async with subscribed(f"redis://{HOST}:{free_port()}"):
            pass


async def test_who_may_not_subscribe_does_not_wait(own_redis: RedisServer) -> None:
    """The refusal is told by its kind alone, without the password."""
    with own_redis.client() as client:
        client.acl_setuser("deaf", enabled=True, passwords=["+hunter2"], commands=["+ping"])
    url = without(own_redis.url).replace("//", "//deaf:hunter2@")

    with pytest.raises(SubscriptionLost, match="NoPermissionError") as lost:
        async with subscribed(url):
            pass

    assert "hunter2" not in str(lost.value)


async def test_leaving_leaves_no_connection(redis_server: RedisServer) -> None:
    """Also when it was cancelled while it waited."""
    async with subscribed(redis_server.url) as subscription:
        waiting = asyncio.create_task(subscription.message())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    with redis_server.client() as client:
        await until(lambda: client.client_list(_type="pubsub") == [])


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Hang without a word."""
    await reader.read()


async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be something else."""
    await reader.read(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await reader.read()


async def answer_beside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak the protocol, and say what nobody asked for."""
    await reader.read(10)
    writer.write(b":1\r\n*0\r\n$-1\r\n")
    await reader.read()


@pytest.mark.parametrize("reply", [b"*1\r\n$2\r\nno\r\n", b"*0\r\n", b":1\r\n", b"$-1\r\n"])
async def test_a_reply_that_confirms_nothing_is_named_as_the_reason(reply: bytes) -> None:
    """In the words that the log has, whatever the reply is."""

    async def reply_otherwise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(1_000):
            # The driver introduces itself first (CLIENT SETINFO).
            writer.write(reply if b"SUBSCRIBE" in asked else b"+OK\r\n" * asked.count(b"*"))

    async with stranger(reply_otherwise) as url:
        with pytest.raises(SubscriptionLost, match="confirms no subscription"):
            async with subscribed(url, BUSY):
                pass


@pytest.mark.parametrize("behaviour", [say_nothing, speak_http, answer_beside])
async def test_what_is_no_redis_is_no_subscription(behaviour: Behaviour) -> None:
    """Whatever it says, within the patience."""
    async with stranger(behaviour) as url:
        began = time.monotonic()

        with pytest.raises(SubscriptionLost):
            async with subscribed(url, PATIENCE):
                pass

        assert time.monotonic() - began < PATIENCE + BUSY


@asynccontextmanager
async def stranger(behaviour: Behaviour) -> AsyncIterator[str]:
    """The address of somebody who behaves so, and is left by whoever came."""

    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await behaviour(reader, writer)
        writer.close()
        left.set()

    port = free_port()
    server = await asyncio.start_server(serve, HOST, port)
    try:
        yield f"redis://{HOST}:{port}"
        async with asyncio.timeout(BUSY):
            await left.wait()
    finally:
        server.close()
        await server.wait_closed()
