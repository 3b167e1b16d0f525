"""Callers that send no more after their request, and read on: what was asked is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, has_in_flight, until
from tests.support.raw_http import Answer, Caller, calling

FIELDS = b"Host: a\r\nAuthorization: Bearer demo-token\r\n"
ORDER = b'{"ids": ["trn_000001"]}'
TO_ADMIN = {
    "a read": b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an order": b"POST /invalidate HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ORDER), ORDER),
}


@pytest.fixture
async def planes(upstream: RunningSimulator) -> AsyncIterator[Planes]:
    """Both planes."""
    async with gateway(upstream.base_url) as planes:
        yield planes


def get(number: int) -> bytes:
    """A request for a training."""
    return b"GET /training/trn_%06d HTTP/1.1\r\n%b\r\n" % (number, FIELDS)


async def ended(caller: Caller, *requests: bytes) -> list[Answer]:
    """What is answered to requests that are all the caller sends, until the connection ends."""
    (await caller.send(*requests, pause=0)).end()
    answers = [await caller.told() for _ in requests]
    assert await caller.is_closed()
    return answers


async def test_a_miss_is_answered_and_then_a_hit(planes: Planes) -> None:
    """Neither waits for more, and the connection is closed behind it."""
    async with calling(str(planes.data.base_url)) as caller:
        (miss,) = await ended(caller, get(1))
    async with calling(str(planes.data.base_url)) as caller:
        (hit,) = await ended(caller, get(1))

    assert (miss.status, hit.status) == (200, 200)
    assert "fwd=uri-miss" in miss.fields["cache-status"]
    assert miss.fields["connection"] == "close"
    assert "hit" in hit.fields["cache-status"]


async def test_a_slow_upstream_is_waited_for(
    planes: Planes, upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """However long before its answer the caller ended, and however many it asked for."""
    await control.fault("held")
    async with calling(str(planes.data.base_url)) as caller:
        answering = asyncio.create_task(ended(caller, get(1), get(2), get(3)))
        await until(lambda: has_in_flight(control))
        await asyncio.sleep(1.5)  # connections are looked after once a second
        await control.clear_faults()
        answers = await answering

    assert [each.status for each in answers] == [200] * 3
    closing = [each.fields.get("connection") for each in answers]
    assert closing == [None, None, "close"]


async def test_what_was_asked_is_answered_while_the_plane_drains(
    planes: Planes, control: SimulatorClient
) -> None:
    """The end of the plane waits for it."""
    await control.fault("held")
    async with calling(str(planes.data.base_url)) as caller:
        answering = asyncio.create_task(ended(caller, get(1)))
        await until(lambda: has_in_flight(control))
        planes.stop.set()
        await asyncio.sleep(0.3)
        await control.clear_faults()
        (answer,) = await answering

    assert answer.status == 200


async def test_the_admin_plane_answers_too(planes: Planes) -> None:
    """Reads and orders."""
    for name, request in TO_ADMIN.items():
        async with calling(str(planes.admin.base_url)) as caller:
            (answer,) = await ended(caller, request)

        assert answer.status == 200, name


async def test_what_redis_is_asked_for_is_answered(
    upstream: RunningSimulator, redis_url: str
) -> None:
    """A replica that never had the training looks it up."""
    async with gateway(upstream.base_url, redis_url) as one:
        await one.get("trn_000001")
        async with (
            gateway(upstream.base_url, redis_url) as other,
            calling(str(other.data.base_url)) as caller,
        ):
            (answer,) = await ended(caller, get(1))

    assert answer.fields["cache-status"].endswith("detail=l2")


async def test_a_request_that_is_cut_short_is_refused(planes: Planes) -> None:
    """400 to a caller that reads on, at once; half an order does nothing."""
    for part in (get(1)[:20], get(1)[:-2], TO_ADMIN["an order"][:-5], b"\r\n" + get(1)[:3]):
        async with calling(str(planes.admin.base_url)) as caller:
            (answer,) = await ended(caller, part)

        assert (answer.status, answer.word) == (400, "bad-request"), part
    assert await planes.metric("gateway_invalidations_total") == 0


async def test_a_caller_that_says_nothing_is_told_nothing(planes: Planes) -> None:
    """Its connection is closed, as a probe of the port wants it."""
    async with calling(str(planes.data.base_url)) as caller:
        assert await ended(caller) == []
