"""Faults of the connection, seen on a plain socket where a client library would hide them."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import httpx

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.simulator.waiting import eventually

ID = "trn_000003"
PATH = f"/training/{ID}"
PATIENCE = 30.0


async def _raw(simulator: RunningSimulator) -> tuple[bytes, bytes]:
    """Head and body up to the end of the connection."""
    address = urlsplit(simulator.base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-token\r\n\r\n".encode()
    )
    try:
        async with asyncio.timeout(PATIENCE):
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return head.lower(), body


async def test_hang_up(simulator: RunningSimulator, control: SimulatorClient) -> None:
    """The whole answer on a connection that seems to be kept, and its end soon after."""
    await control.fault("hang-up")
    whole = await control.body(ID)

    head, body = await _raw(simulator)

    assert b"200 ok" in head
    assert b"connection: close" not in head
    assert body == whole


async def _is_idle(control: SimulatorClient) -> bool:
    return (await control.stats()).in_flight == 0


async def test_hang_for_a_while(simulator: RunningSimulator, control: SimulatorClient) -> None:
    """With a delay, the connection is closed after it, unanswered."""
    await control.fault("hang", delay=0.05)

    assert await _raw(simulator) == (b"", b"")


async def test_dribble(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """The right bytes one at a time: no single wait is long, the whole is."""
    await control.edit(ID, "Short.")
    await control.fault("dribble", delay=0.001)

    start = time.monotonic()
    async with api.stream("GET", PATH) as answer:
        pieces = [piece async for piece in answer.aiter_raw()]

    whole = await control.body(ID)
    assert b"".join(pieces) == whole
    assert len(pieces) > len(whole) / 4
    assert time.monotonic() - start >= len(whole) * 0.001


async def test_late(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """What it brings was true when it was asked for, whatever has changed since."""
    await control.fault("late", delay=1.0)
    before = await control.body(ID)

    call = asyncio.create_task(api.get(PATH))
    await eventually(lambda: _in_flight(control, 1))
    await control.edit(ID, "Later.")

    assert (await call).content == before


async def test_held(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """Calls wait until the faults are cleared and are answered then, with what holds by then."""
    await control.fault("held", ids=[ID], count=2)
    calls = [asyncio.create_task(api.get(PATH, timeout=60)) for _ in range(2)]
    await eventually(lambda: _in_flight(control, 2))
    others = [await api.get(path) for path in ("/training/trn_000004", PATH)]
    edited = await control.edit(ID, "Meanwhile.")
    assert not any(call.done() for call in calls)

    await control.clear_faults()

    answers = await asyncio.gather(*calls)
    assert [answer.status_code for answer in others] == [200, 200]
    assert [answer.json() for answer in answers] == [edited, edited]
    assert (await api.get(PATH)).json() == edited


async def test_who_is_held_may_leave(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """When the client has left, nothing is in flight."""
    await control.fault("held")
    call = asyncio.create_task(api.get(PATH))
    await eventually(lambda: _in_flight(control, 1))

    call.cancel()

    await eventually(lambda: _is_idle(control))
    assert (await control.stats()).by_status == {"none": 1}


async def _in_flight(control: SimulatorClient, calls: int) -> bool:
    return (await control.stats()).in_flight == calls
