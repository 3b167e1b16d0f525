"""Serving: in the current loop, and as a process that ends when told."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from contextlib import suppress

import httpx
import pytest

from gateway.simulator import SimulatorClient, SimulatorConfig, running
from tests.integration.simulator.waiting import eventually

SCRIPT = """
import asyncio
from gateway.simulator import SimulatorConfig, serve

asyncio.run(serve(SimulatorConfig(trainings=2), lambda url: print(url, flush=True)))
"""


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_serves_until_told(told: signal.Signals) -> None:
    """It says its address once, answers, and ends with 0 and silence even with a call hanging."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout
    url = (await process.stdout.readline()).decode().strip()
    headers = {"Authorization": "Bearer demo-token"}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as api,
        SimulatorClient(url) as control,
    ):
        answer = await api.get("/training/trn_000002")
        await control.fault("hang")
        hanging = asyncio.create_task(api.get("/training/trn_000001"))
        await eventually(lambda: _is_in_flight(control))
        process.send_signal(told)
        rest = await asyncio.wait_for(process.communicate(), 30)
        with pytest.raises(httpx.TransportError):
            await hanging

    assert answer.status_code == 200
    assert (process.returncode, rest) == (0, (b"", b""))


async def _is_in_flight(control: SimulatorClient) -> bool:
    return (await control.stats()).in_flight == 1


async def test_leaving_drops_what_is_open(capfd: pytest.CaptureFixture[str]) -> None:
    """The block ends at once, whatever is in flight, and prints nothing."""
    config = SimulatorConfig(trainings=1, latency=60)
    async with (
        running(config) as simulator,
        httpx.AsyncClient(trust_env=False, timeout=30) as client,
    ):
        call = asyncio.create_task(client.get(f"{simulator.base_url}/training/trn_000001"))
        async with SimulatorClient(simulator.base_url) as control:
            await eventually(lambda: _is_in_flight(control))
        start = time.monotonic()
    assert time.monotonic() - start < 20
    with pytest.raises(httpx.TransportError):
        await call

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("turns", range(6))
async def test_leaving_drops_what_comes_meanwhile(turns: int) -> None:
    """In whichever turn of the event loop a client connects, its connection ends or is refused."""
    loop = asyncio.get_running_loop()

    async def connect(port: int) -> bytes:
        for _ in range(turns):
            await asyncio.sleep(0)
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.setblocking(False)
            return await asyncio.wait_for(loop.sock_recv(client, 1), 30)

    async with running(SimulatorConfig(trainings=1)) as simulator:
        client = asyncio.create_task(connect(int(simulator.base_url.rpartition(":")[2])))
        await asyncio.sleep(0)

    with suppress(ConnectionError):
        assert await client == b""
