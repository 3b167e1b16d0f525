"""The stream behind the live page, of a real gateway in front of a simulator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.simulator import RunningSimulator
from gateway.web.admin.app import MOST_WATCHERS
from tests.integration.gateways import gateway, until
from tests.support.raw_http import calling
from tests.unit.adapters.upstream.peers import Peer

A = "trn_000001"
Words = dict[str, Any]


async def anew(lines: AsyncIterator[str]) -> Words:
    """The next line."""
    words: Words = json.loads(await anext(lines))
    return words


async def test_all_is_told_at_first_and_then_what_is_new(upstream: RunningSimulator) -> None:
    """The past, an invalidation once, and how things stand; later lines do not repeat it."""
    async with gateway(upstream.base_url) as planes:
        await planes.get(A)
        await planes.get(A)
        await planes.admin.post("/invalidate", json={"ids": [A]})
        async with planes.admin.stream("GET", "/live") as answer:
            lines = answer.aiter_lines()
            first = await anew(lines)
            more = [await anew(lines)]
            while len(more) < 2 or not any(words["rows"]["time"] for words in more):
                more.append(await anew(lines))

    invalidated = [each for each in first["events"] if each["event"] == "entry.invalidated"]
    assert [(each["fields"]["id"], each["fields"]["by"]) for each in invalidated] == [(A, "order")]
    assert first["now"]["minute"]["requests"] == 2
    assert first["now"]["minute"]["hit_rate"] == 0.5
    assert first["now"]["redis"] is None
    assert first["now"]["replicas"] == 1
    assert first["now"]["findings"][0].keys() == {
        "level",
        "whose",
        "says",
        "do",
        "runbook",
        "runbook_url",
        "since",
    }
    assert first["about"]["lifetime"] == 30.0
    assert all("about" not in words for words in more)
    assert [each for words in more for each in words["events"] if each in invalidated] == []
    told = [time for words in (first, *more) for time in words["rows"]["time"]]
    assert told == sorted(set(told))
    assert told


async def test_a_5xx_of_the_api_that_is_passed_on_is_an_error() -> None:
    """With `freshness.source = "origin"`; the figures have it as they have the gateway's own."""
    peer = Peer(b"HTTP/1.1 503 Busy\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno")
    async with peer.listening() as api, gateway(api, freshness__source="origin") as planes:
        passed = await planes.get(A)
        failed = 'gateway_requests_total{outcome="failed",status="5xx",tier="upstream"}'
        count = await planes.metric(failed)
        async with planes.admin.stream("GET", "/live") as answer:
            minute = (await anew(answer.aiter_lines()))["now"]["minute"]

    assert (passed.status_code, passed.content) == (503, b"no")
    assert count == 1
    assert (minute["requests"], minute["errors"], minute["hit_rate"]) == (1, 1, 0.0)


async def test_a_page_that_is_open_does_not_hold_the_end(
    upstream: RunningSimulator, capfd: pytest.CaptureFixture[str]
) -> None:
    """It sees the replica drain, then the stream ends as streams do, and nobody complains."""
    async with (
        gateway(upstream.base_url, server__drain_delay="1500ms") as planes,
        planes.admin.stream("GET", "/live") as answer,
    ):
        lines = answer.aiter_lines()
        await anext(lines)
        planes.stop.set()
        rest = [json.loads(line) async for line in lines]

    assert [words["now"]["draining"] for words in rest][-1:] == [True]
    assert rest[-1]["now"]["findings"][0]["says"] == "This replica is stopping"
    log = capfd.readouterr().out
    assert "gateway.stopped" in log
    assert "library.said" not in log


async def test_pages_that_ask_again_and_go_are_no_watchers(upstream: RunningSimulator) -> None:
    """Also where the connection ends with another request waiting behind the stream."""
    pipelined = b"".join(
        b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in (b"/live", b"/livez")
    )
    async with gateway(upstream.base_url) as planes:

        async def has_room() -> bool:
            async with planes.admin.stream("GET", "/live") as answer:
                return answer.status_code == 200

        for _ in range(MOST_WATCHERS):
            async with calling(str(planes.admin.base_url)) as page:
                assert (await (await page.send(pipelined)).told()).status == 200
        await until(has_room, patience=20.0)
