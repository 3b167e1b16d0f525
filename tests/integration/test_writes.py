"""Writes against the simulated API over HTTP: what one caller wrote, the next one reads."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import gateway, has_in_flight, until
from tests.integration.replicas import replicas
from tests.integration.unreachable import WayToRedis
from tests.support.raw_http import GOOD, calling
from tests.unit.adapters.upstream.peers import Peer

A = "trn_000001"


async def test_who_reads_after_a_write_reads_what_was_written(
    upstream: RunningSimulator, redis_url: str
) -> None:
    """In every replica, though both held the former version as fresh."""
    forward = {"server__writes": "forward"}
    async with (
        gateway(upstream.base_url, redis_url, **forward) as one,
        gateway(upstream.base_url, redis_url, **forward) as other,
    ):
        before = [(await each.get(A)).json()["title"] for each in (one, other)]

        written = await one.data.put(f"/training/{A}", json={"title": "Written"})
        after = [(await each.get(A)).json()["title"] for each in (one, other)]

        assert (written.status_code, written.json()["title"]) == (200, "Written")
        assert written.headers["cache-status"] == "gateway; fwd=method; fwd-status=200"
        assert "Written" not in before
        assert after == ["Written", "Written"]
        sample = 'gateway_invalidations_total{cause="write"}'
        assert await one.metric(sample) == 1


async def test_a_write_that_a_replica_did_not_confirm_is_told_to_operators(
    upstream: RunningSimulator, redis_url: str
) -> None:
    """Its caller gets the API's answer as ever, whose version makes every replica ask."""
    settings = {"server__writes": "forward", "redis__timeout": "1s"}
    async with (
        WayToRedis(redis_url) as way,
        replicas(upstream.base_url, [redis_url, way.url], **settings) as (one, other),
    ):
        for each in (one, other):
            await each.get(A)
        await way.refuse(True)

        written = await one.data.put(f"/training/{A}", json={"title": "Written"})
        version = written.json()["updated_at"]
        read = await other.get(A, Training_Min_Updated_At=version)

        assert written.headers["cache-status"] == "gateway; fwd=method; fwd-status=200"
        assert (written.status_code, read.json()["title"]) == (200, "Written")
        events = (await one.admin.get(f"/explain/{A}")).json()["events"]
        told = [each for each in events if each["event"] == "write.unconfirmed"]
        assert [(each["replicas"], each["confirmed"]) for each in told] == [(2, 1)]
        assert told[0]["until"] > told[0]["time"]


async def test_what_is_made_is_read_and_what_is_deleted_is_gone(
    upstream: RunningSimulator,
) -> None:
    """A draft as well; and a refusal of the API's is the caller's to read."""
    async with gateway(upstream.base_url, server__writes="forward") as house:
        (await house.get(A)).raise_for_status()
        draft = await house.data.put(f"/training/{A}/draft", json={"title": "Soon"})
        drafted = (await house.get(A)).json()
        made = await house.data.post("/training", json={"title": "New", "content": "Text"})
        found = await house.get(made.json()["id"])
        deleted = await house.data.delete(f"/training/{made.json()['id']}")
        gone = await house.get(made.json()["id"])
        refused = await house.data.post("/training", json={"title": 7})

        assert (draft.status_code, drafted["draft_title"]) == (200, "Soon")
        assert (made.status_code, found.json()["title"]) == (201, "New")
        assert (deleted.status_code, deleted.content, gone.status_code) == (204, b"", 404)
        assert (refused.status_code, refused.json()["statusCode"]) == (400, 400)


@pytest.mark.parametrize("cuts", [(), (1,), (3, 9)])
async def test_a_write_with_an_upgrade_arrives_with_its_body(
    upstream: RunningSimulator, cuts: tuple[int, ...]
) -> None:
    """The JDK's client offers `h2c` with every request; the body comes in one piece or several."""
    body = b'{"title": "Written"}'
    head = b"PUT /training/trn_000001 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer demo-token\r\n"
    head += b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    pieces = [body[start:end] for start, end in pairwise((0, *cuts, len(body)))]
    async with (
        gateway(upstream.base_url, server__writes="forward") as house,
        calling(str(house.data.base_url)) as caller,
    ):
        written = await (await caller.send(head + pieces[0], *pieces[1:])).told()
        behind = await (await caller.send(GOOD)).told()

    assert (written.status, json.loads(written.body)["title"]) == (200, "Written")
    assert behind.status == 200


async def test_an_answer_to_a_write_that_is_cut_short_counts_as_rejected(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """As one to a read."""
    await control.fault("cut-body", on=["write"])
    async with gateway(upstream.base_url, server__writes="forward") as house:
        answer = await house.data.put(f"/training/{A}", json={"title": "Written"})
        rejected = await house.metric('gateway_payload_rejected_total{reason="truncated"}')
        failed = await house.metric('gateway_upstream_failures_total{reason="invalid"}')

    assert (answer.status_code, rejected, failed) == (502, 1, 1)


@pytest.mark.parametrize("path", ["/training", f"/training/{A}", f"/training/{A}/draft"])
async def test_a_write_carries_its_query(path: str) -> None:
    """Byte for byte, and reads carry none."""
    query = 'dry_run=true&at=%2F+a"b'
    peer = Peer()
    async with peer.listening() as api, gateway(api, server__writes="forward") as house:
        method = b"POST" if path == "/training" else b"PUT"
        head = b"%s %s?%s HTTP/1.1\r\nHost: a\r\n" % (method, path.encode(), query.encode())
        head += b"Authorization: Bearer demo-token\r\nContent-Length: 2\r\n\r\n{}"
        async with calling(str(house.data.base_url)) as caller:
            await (await caller.send(head)).told()
        await house.data.get(f"/training/{A}?{query}")
        lines = [each.split(b"\r\n")[0] for each in peer.heads]

    assert b"%s %s?%s HTTP/1.1" % (method, path.encode(), query.encode()) in lines
    assert f"GET /training/{A} HTTP/1.1".encode() in lines


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_a_status_of_no_class_is_no_answer(method: str) -> None:
    """The caller is told so, and the write may have happened."""
    peer = Peer(b"HTTP/1.1 600 Odd\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno")
    settings = {"server__writes": "forward", "freshness__source": "origin"}
    async with peer.listening() as api, gateway(api, **settings) as house:
        answer = await house.data.request(method, f"/training/{A}")
        outdated = await house.metric('gateway_invalidations_total{cause="write"}')

    assert (answer.status_code, answer.json()["type"]) == (
        502,
        "urn:gateway:problem:upstream-error",
    )
    assert outdated == (method == "PUT")


async def test_a_write_that_a_stop_ends_is_seen_through_the_others(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """The write was done, but its answer comes later than the drain timeout."""
    forward = {"server__writes": "forward", "upstream__timeout": "60s"}
    await control.fault("late", delay=60.0, on=["write"])
    async with gateway(upstream.base_url, redis_url) as other:
        before = (await other.get(A)).json()["title"]
        async with gateway(
            upstream.base_url, redis_url, server__drain_timeout="500ms", **forward
        ) as one:
            writing = asyncio.create_task(one.data.put(f"/training/{A}", json={"title": "Written"}))
            await until(lambda: has_in_flight(control))
            one.stop.set()
            # With a new Redis an order waits for replicas; the connection may end before that.
            await asyncio.wait({writing})
            writing.exception()
        after = (await other.get(A)).json()["title"]
        outdated = await other.metric("gateway_invalidations_total")

    assert (before != "Written", after) == (True, "Written")
    assert outdated >= 1
