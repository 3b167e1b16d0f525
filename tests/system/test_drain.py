"""SIGTERM under callers that keep their connections: no request is lost, no connection is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import pytest

from gateway.simulator import SimulatorClient
from tests.rounds.kept_connections import Tally
from tests.support.raw_http import GOOD, calling
from tests.support.servers import RedisServer
from tests.system.commands import Gateway, address, port_of, simulator
from tests.system.draining import drain, drain_tls, secured

_LISTENS = "0A"
GET = b"GET /training/trn_%06d HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer demo-token\r\n\r\n"


def judge(tallies: dict[str, Tally]) -> None:
    """Nothing was lost, and every caller that kept its connection was told of its end."""
    assert {kind: tally.lost for kind, tally in tallies.items()} == {kind: [] for kind in tallies}
    for kind, tally in tallies.items():
        assert tally.answered == tally.asked > 0, kind
        assert tally.statuses <= {200, 304, 404}, kind
    assert tallies["kept"].told >= 32


@pytest.mark.parametrize("run", [1, 2])
async def test_nothing_is_lost(tmp_path: Path, run: int) -> None:
    """Hits and everything else, over HTTP/1.1 and 1.0, kept, pipelined and half-closed."""
    judge(await drain(tmp_path))


async def test_nothing_is_lost_without_a_delay(tmp_path: Path) -> None:
    """The port is closed at once, and each connection may ask once more."""
    judge(await drain(tmp_path, delay="0s"))


@pytest.mark.parametrize("run", [1, 2])
async def test_nothing_is_lost_through_tls(tmp_path: Path, run: int) -> None:
    """Its end has a protocol of its own."""
    judge(await drain_tls(tmp_path))


async def test_half_closed_connections_do_not_stay(tmp_path: Path) -> None:
    """Neither those whose caller is gone while it waits, nor those that were answered."""
    with simulator(tmp_path, "--limit", "0") as upstream:
        gateway = Gateway(tmp_path, address(upstream), GATEWAY_UPSTREAM__RATE_LIMIT="unlimited")
        async with SimulatorClient(address(upstream)) as control, AsyncExitStack() as stack:
            stack.enter_context(gateway.process)
            await control.fault("held")
            callers = [await stack.enter_async_context(calling(gateway.data)) for _ in range(20)]
            for number, caller in enumerate(callers, 1):
                (await caller.send(GET % number)).end()
            await until_open(gateway, 20)
            for caller in callers[:10]:
                caller.reset()
            await until_open(gateway, 10)
            await control.clear_faults()
            answers = [await caller.told() for caller in callers[10:]]
            await until_open(gateway, 0)

    assert [answer.status for answer in answers] == [200] * 10


async def test_a_handshake_under_way_is_finished(tmp_path: Path) -> None:
    """And its caller answered, though no connection was there when the process was told to end."""
    trusting, settings = secured(tmp_path)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = trusting.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    gateway = Gateway(tmp_path, "http://127.0.0.1:1", **settings)
    with gateway.process:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(gateway.data))
        with pytest.raises(ssl.SSLWantReadError):
            caller.do_handshake()
        writer.write(outgoing.read())
        incoming.write(await reader.read(65_536))
        gateway.process.child.send_signal(signal.SIGTERM)
        await asyncio.sleep(1.0)
        caller.do_handshake()
        caller.write(GOOD)
        writer.write(outgoing.read())
        incoming.write(await reader.read())
        writer.close()
        code = await asyncio.to_thread(gateway.process.wait, 30)
    said = b""
    with suppress(ssl.SSLZeroReturnError):
        while piece := caller.read(65_536):
            said += piece

    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in said
    assert code == 0


async def until_open(gateway: Gateway, connections: int) -> None:
    """Wait until the data plane has so many connections."""
    async with asyncio.timeout(20):
        while open_at(port_of(gateway.data)) != connections:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def open_at(port: int) -> int:
    """Connections of the server at that port which it has not closed (proc(5), net/tcp)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [row for row in rows if int(row[1].partition(":")[2], 16) == port]
    return sum(row[3] != _LISTENS and row[9] != "0" for row in ours)


async def test_an_order_under_way_is_finished(tmp_path: Path, own_redis: RedisServer) -> None:
    """It waits for a second for a replica that does not answer."""
    settings = {"GATEWAY_REDIS__URL": own_redis.url, "GATEWAY_SERVER__DRAIN_DELAY": "0s"}
    with simulator(tmp_path) as upstream:
        gateway = Gateway(tmp_path, address(upstream), **settings)
        async with httpx.AsyncClient(base_url=gateway.admin, trust_env=False) as admin:
            with gateway.process, own_redis.client() as client:
                client.hset("gateway:{bus}:record", "m:silent", "0" * 16)
                order = asyncio.create_task(admin.post("/invalidate", json={"ids": ["trn_1"]}))
                await asyncio.sleep(0.3)
                os.kill(gateway.process.pid, signal.SIGTERM)

                assert (await order).status_code == 202
