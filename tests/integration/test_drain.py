"""The end: readiness first, then what is in flight, then an honest answer to who still waits."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.doubles.loop_time import pass_time
from tests.integration.gateways import Planes, gateway, has_in_flight, until
from tests.support.raw_http import GOOD, calling
from tests.support.redis_cluster import client_of


async def test_who_still_waits_at_the_end_is_told(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """Past the drain timeout a waiting caller gets 503 shutting-down, with Retry-After."""
    await control.fault("held")
    async with gateway(upstream.base_url, server__drain_timeout="500ms") as planes:
        waiting = asyncio.create_task(planes.get("trn_000001"))
        await until(lambda: has_in_flight(control))
        planes.stop.set()
        answer = await waiting

    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:gateway:problem:shutting-down"
    assert "retry-after" in answer.headers


async def test_a_write_that_was_sent_is_no_reason_to_come_again(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """It has perhaps been done, and would be done a second time."""
    await control.fault("held")
    settings = {"server__writes": "forward", "server__drain_timeout": "500ms"}
    async with gateway(upstream.base_url, **settings) as planes:
        writing = asyncio.create_task(planes.data.post("/training", json={"title": "New"}))
        await until(lambda: has_in_flight(control))
        planes.stop.set()
        answer = await writing

    assert answer.status_code == 504
    assert answer.json()["type"] == "urn:gateway:problem:upstream-timeout"
    assert "retry-after" not in answer.headers


async def test_a_write_behind_one_that_is_ended_is_not_sent(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """It would be ended as soon as it was sent."""
    await control.fault("held")
    settings = {"server__writes": "forward", "server__drain_timeout": "500ms"}
    async with (
        gateway(upstream.base_url, **settings) as planes,
        calling(str(planes.data.base_url)) as caller,
    ):
        await caller.send(_put("trn_000001") + _put("trn_000002"))
        await until(lambda: has_in_flight(control))
        planes.stop.set()
        answers = [await caller.told() for _ in range(2)]
        calls = (await control.stats()).requests

    assert [(each.status, each.word) for each in answers] == [
        (504, "upstream-timeout"),
        (503, "shutting-down"),
    ]
    assert calls == 1


async def test_each_of_several_on_one_connection_is_told(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """A request that waits behind another one begins its call only after that one was told."""
    await control.fault("held")
    heads = [_get(f"trn_{number:06d}") for number in range(1, 4)]
    async with (
        gateway(upstream.base_url, server__drain_timeout="500ms") as planes,
        calling(str(planes.data.base_url)) as caller,
    ):
        await caller.send(b"".join(heads))
        await until(lambda: has_in_flight(control))
        planes.stop.set()
        answers = [await caller.told() for _ in heads]

    assert [each.status for each in answers] == [503, 503, 503]
    assert {each.word for each in answers} == {"shutting-down"}


def _get(training_id: str) -> bytes:
    bearer = b"Authorization: Bearer demo-token"
    return b"GET /training/%b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (training_id.encode(), bearer)


def _put(training_id: str) -> bytes:
    head = _get(training_id).replace(b"GET", b"PUT").removesuffix(b"\r\n")
    return head + b"Content-Length: 2\r\n\r\n{}"


async def test_a_refresh_under_way_gives_its_lease_back(
    upstream: RunningSimulator,
    control: SimulatorClient,
    redis_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No caller waits for it, so that the data plane ends at once. It ends before Redis is closed,
    and is no failure."""
    async with gateway(upstream.base_url, redis_url, freshness__lifetime="200ms") as planes:

        async def is_refreshed() -> bool:
            fields = (await planes.get("trn_000001")).headers
            return fields["cache-status"].endswith("detail=stale-refreshing")

        await planes.get("trn_000001")
        await control.fault("held")
        await until(is_refreshed)
        await until(lambda: has_in_flight(control))

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    with client_of(redis_url) as client:
        leases = list(client.scan_iter(match="*:l:*"))
    assert leases == []
    assert lines[-1]["event"] == "gateway.stopped"
    assert [line["event"] for line in lines if line["level"] != "info"] == []


async def test_what_is_in_flight_is_finished(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """Readiness is gone at once, and the answer under way still comes."""
    await control.fault("held")
    async with gateway(upstream.base_url, server__drain_delay="60s") as planes:
        waiting = asyncio.create_task(planes.get("trn_000001"))
        await until(lambda: has_in_flight(control))
        planes.stop.set()
        await until(lambda: is_unready(planes))
        alive = await planes.data.get("/livez")
        await control.clear_faults()
        answer = await waiting

        await pass_time(60.0)  # the delay need not be waited for

    assert (alive.status_code, answer.status_code) == (200, 200)


async def is_unready(planes: Planes) -> bool:
    """Whether readiness is gone."""
    return (await planes.data.get("/readyz")).status_code == 503


async def test_a_connection_that_is_new_may_ask_once_when_the_plane_ends(
    upstream: RunningSimulator,
) -> None:
    """It was accepted, so that its caller believes to be heard; then all are closed."""
    async with gateway(upstream.base_url) as planes:
        url = str(planes.data.base_url)
        async with calling(url) as used, calling(url) as new:
            await (await used.send(GOOD)).told()
            planes.stop.set()
            await asyncio.sleep(1.0)
            answer = await (await new.send(GOOD)).told()
            assert await new.is_closed()
            assert await used.is_closed()

    assert (answer.status, answer.fields["connection"]) == (200, "close")
