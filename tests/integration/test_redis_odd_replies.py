"""A server that answers with replies of kinds that no command has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.simulator import RunningSimulator
from tests.integration.gateways import gateway, until
from tests.support.servers import HOST, RedisServer

ONE, OTHER = "trn_000001", "trn_000002"
ERRORS = 'gateway_redis_errors_total{{operation="{}"}}'
# Seconds after which a new replica may serve its entries without Redis.
_MEMBER_AFTER = 4.0
# For each: an integer, a status, a map of names to nothing, and arrays of other lengths and kinds.
ODD = {
    "integer": b":7\r\n",
    "status": b"+OK\r\n",
    "null": b"$-1\r\n",
    "empty": b"*0\r\n",
    "numbers": b"*3\r\n:1\r\n:2\r\n:3\r\n",
    "nested": b"*3\r\n*1\r\n:1\r\n*0\r\n*0\r\n",
    "long": b"*4\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n",
}


class Proxy:
    """Stands in front of a Redis. While `odd` is set, it answers each command with `odd`, except
    those of a look."""

    def __init__(self, redis: RedisServer) -> None:
        self._port = redis.port
        self.odd: bytes | None = None
        self.odd_ones: list[bytes] = []  # the commands that got an odd reply

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        answers, questions = await asyncio.open_connection(HOST, self._port)
        back = asyncio.create_task(_pass_on(answers, writer))
        try:
            while True:
                raw, word = await _command(reader)
                if self.odd is None or word in (b"SET", b"TIME"):
                    questions.write(raw)
                else:
                    self.odd_ones.append(word)
                    writer.write(self.odd)
        except (asyncio.IncompleteReadError, ConnectionError):
            back.cancel()
            questions.close()
            writer.close()


async def _pass_on(answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await answers.read(65_536):
        writer.write(data)


async def _command(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The bytes of a command, and its first word."""
    raw = await reader.readuntil(b"\r\n")
    words = []
    for _ in range(int(raw[1:])):
        length = await reader.readuntil(b"\r\n")
        word = await reader.readexactly(int(length[1:]) + 2)
        raw += length + word
        words.append(word[:-2])
    return raw, words[0]


@asynccontextmanager
async def proxied(redis: RedisServer) -> AsyncIterator[tuple[Proxy, str]]:
    """The proxy, and the URL for a gateway."""
    proxy = Proxy(redis)
    server = await asyncio.start_server(proxy.serve, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield proxy, redis.url.replace(f":{redis.port}", f":{port}")
    finally:
        server.close()


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
async def test_an_odd_reply_is_a_failure_of_redis(
    upstream: RunningSimulator,
    own_redis: RedisServer,
    odd: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Callers get what L1 has, and what it has not from the API. The failure is counted. No request
    ends with an error of ours."""
    settings = {"freshness__lifetime": "60s", "l1__lifetime": "100ms"}
    settings["upstream__rate_limit"] = "unlimited"  # the budget is not the subject
    async with (
        proxied(own_redis) as (proxy, url),
        gateway(upstream.base_url, url, **settings) as planes,
    ):
        await until(lambda: planes.reads("gateway_bus_connected", 1))
        await planes.get(ONE)
        await asyncio.sleep(_MEMBER_AFTER)
        proxy.odd = odd

        answers: list[httpx.Response] = []
        async with asyncio.timeout(30.0):
            while b"MGET" not in proxy.odd_ones or len(answers) < 20:
                answers.append(await planes.get(ONE))
                await asyncio.sleep(0.02)
        other = await planes.get(OTHER)

        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers["cache-status"].split(";")[1] for answer in answers} == {" hit"}
        assert other.status_code == 200
        failed = [await planes.metric(ERRORS.format(each)) for each in ("lookup", "confirm")]
        assert sum(failed) > 0
    assert [record for record in caplog.records if record.exc_info] == []
