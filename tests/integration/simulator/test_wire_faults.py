"""Faults of the connection, seen on a plain socket where a client library would hide them."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.doubles.loop_time import pass_time
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


async def test_cut_body(simulator: RunningSimulator, control: SimulatorClient) -> None:
    """The full length is announced, half of it comes."""
    await control.fault("cut-body")
    whole = await control.body(ID)

    head, body = await _raw(simulator)

    assert f"content-length: {len(whole)}".encode() in head
    assert body == whole[: len(whole) // 2]


async def test_hang_up(simulator: RunningSimulator, control: SimulatorClient) -> None:
    """The whole answer on a connection that seems to be kept, and its end soon after."""
    await control.fault("hang-up")
    whole = await control.body(ID)

    head, body = await _raw(simulator)

    assert b"200 ok" in head
    assert b"connection: close" not in head
    assert body == whole


async def test_cut_chunked(simulator: RunningSimulator, control: SimulatorClient) -> None:
    """One good chunk, and the last one never comes."""
    await control.fault("cut-chunked")
    whole = await control.body(ID)
    half = whole[: len(whole) // 2]

    head, body = await _raw(simulator)

    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert body == f"{len(half):x}".encode() + b"\r\n" + half + b"\r\n"


async def test_cut_no_length(simulator: RunningSimulator, control: SimulatorClient) -> None:
    """Half the body and nothing in the head that tells."""
    await control.fault("cut-no-length")
    whole = await control.body(ID)

    head, body = await _raw(simulator)

    assert head.startswith(b"http/1.1 200 ok\r\n")
    assert b"content-length" not in head
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert b"set-cookie" in head
    assert body == whole[: len(whole) // 2]


async def _is_idle(control: SimulatorClient) -> bool:
    return (await control.stats()).in_flight == 0


@pytest.mark.parametrize("mode", ["cut-body", "cut-chunked"])
async def test_a_client_notices_the_cut(
    api: httpx.AsyncClient, control: SimulatorClient, mode: str
) -> None:
    """Framed answers that stop short are an error to a client library."""
    await control.fault(mode)

    with pytest.raises(httpx.RemoteProtocolError):
        await api.get(PATH)


async def test_a_client_cannot_notice_the_missing_length(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """Unframed, the half looks whole; only judging the body tells."""
    await control.fault("cut-no-length")

    answer = await api.get(PATH)

    whole = await control.body(ID)
    assert answer.status_code == 200
    assert answer.content == whole[: len(whole) // 2]


async def test_reset(simulator: RunningSimulator, control: SimulatorClient) -> None:
    """RST instead of an answer, not an orderly end."""
    await control.fault("reset")

    with pytest.raises(ConnectionResetError):
        await _raw(simulator)
    assert (await control.stats()).by_status == {"none": 1}


async def test_hang(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """No answer ever; when the client has left, nothing is in flight."""
    await control.fault("hang")

    call = asyncio.create_task(api.get(PATH, timeout=20))
    await eventually(lambda: _in_flight(control, 1))
    await pass_time(21)

    with pytest.raises(httpx.ReadTimeout):
        await call
    await eventually(lambda: _is_idle(control))


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


async def test_dribble_ends_with_its_client(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """A read timeout never trips, so the client's own deadline must end it."""
    await control.fault("dribble")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await api.get(PATH)
    await eventually(lambda: _is_idle(control))


async def test_late(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """What it brings was true when it was asked for, whatever has changed since."""
    await control.fault("late", delay=1.0)
    before = await control.body(ID)

    call = asyncio.create_task(api.get(PATH))
    await eventually(lambda: _in_flight(control, 1))
    await control.edit(ID, "Later.")

    assert (await call).content == before


async def test_slow(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """The right answer, after the delay."""
    await control.fault("slow", delay=0.15)

    start = time.monotonic()
    answer = await api.get(PATH)

    assert time.monotonic() - start >= 0.15
    assert answer.content == await control.body(ID)


async def test_the_connection_outlives_a_content_fault(
    simulator: RunningSimulator, api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """After a 500 the same connection serves on; after a cut a new one is opened."""
    await control.fault("status-500", count=1)
    statuses = [(await api.get(PATH)).status_code for _ in range(2)]
    await control.fault("cut-body", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await api.get(PATH)

    assert statuses == [500, 200]
    assert (await api.get(PATH)).status_code == 200
    assert simulator.world.journal.in_flight == 0


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
