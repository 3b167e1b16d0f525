"""Traces of real gateways, as a real collector receives them over OTLP."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateway.app import StartFault
from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import TOKEN, Planes, gateway, has_in_flight, until
from tests.integration.replicas import replicas
from tests.support.otlp import Arrived, Collector, collector

A, B = "trn_000001", "trn_000002"
SERVER = "GET /training/{id}"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
KEPT, PASSED_OVER = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
SLOW = {"upstream__timeout": "60s"}
# What is in no span, whatever happens: credentials of callers, of the collector.
COLLECTORS_KEY = "the-collectors-key"


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that is told at once."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with collector() as kept:
        yield kept


async def arrive(kept: Collector, requests: int) -> bool:
    """Whether so many requests told all of theirs; to be waited for."""
    return len([each for each in kept.spans if each.kind == "SERVER"]) >= requests


async def spans(kept: Collector, number: int) -> list[Arrived]:
    """All that arrived, once so many did and no more come."""

    async def all_there() -> bool:
        return len(kept.spans) >= number

    with suppress(TimeoutError):
        await until(all_there, 20.0)
    await asyncio.sleep(0.2)
    assert len(kept.spans) == number, [each.name for each in kept.spans]
    return kept.spans


async def test_a_miss_that_two_replicas_collapse_is_one_tree(
    collected: Collector, upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """The follower's wait is its span `lease`, and the API is told of the leader's call."""
    traced = SLOW | {"tracing__endpoint": collected.url}
    async with replicas(upstream.base_url, [redis_url] * 2, **traced) as (one, other):
        await control.latency(0.5)
        leading = asyncio.create_task(one.get(A, traceparent=KEPT))
        await until(lambda: has_in_flight(control))
        answers = await asyncio.gather(leading, other.get(A, traceparent=KEPT))
        (asked,) = await control.requests()
        await until(lambda: arrive(collected, 2))
        arrived = collected.spans

    assert [answer.status_code for answer in answers] == [200, 200]
    by_id = {each.span: each for each in arrived}
    assert {each.trace for each in arrived} == {TRACE}
    leader, follower = sorted(
        collected.named(SERVER), key=lambda each: str(each.attributes["gateway.outcome"])
    )[::-1]
    assert (leader.attributes["gateway.outcome"], follower.attributes["gateway.outcome"]) == (
        "filled",
        "collapsed",
    )
    assert [each.parent for each in (leader, follower)] == [PARENT] * 2
    inner = [each for each in arrived if each not in (leader, follower)]
    assert {each.parent for each in inner} == {leader.span, follower.span}
    assert sorted(each.name for each in inner if each.parent == leader.span) == [
        *("budget", "lease", "lookup", "store", "upstream")
    ]
    assert "lease" in [each.name for each in inner if each.parent == follower.span]
    (call,) = collected.named("upstream")
    assert dict(asked.headers)["traceparent"] == f"00-{TRACE}-{call.span}-01"
    assert by_id[call.parent] is leader


async def test_the_spans_of_a_request_say_what_http_and_the_gateway_know(
    collected: Collector, upstream: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the semantic conventions; the variables of OpenTelemetry hold."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shield")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key={COLLECTORS_KEY}")
    async with gateway(upstream.base_url, tracing__endpoint=collected.url) as planes:
        await planes.get(A, traceparent=KEPT)
        arrived = await spans(collected, 6)

    (server,) = collected.named(SERVER)
    assert server.kind == "SERVER"
    assert server.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": f"/training/{A}",
        "http.route": "/training/{id}",
        "http.response.status_code": 200,
        "gateway.outcome": "filled",
        "gateway.tier": "upstream",
        "gateway.client": server.attributes["gateway.client"],
    }
    (call,) = collected.named("upstream")
    assert call.kind == "CLIENT"
    assert call.attributes == {
        "http.request.method": "GET",
        "url.full": f"{upstream.base_url}/training/{A}",
        "server.address": "127.0.0.1",
        "server.port": int(upstream.base_url.rpartition(":")[2]),
        "http.response.status_code": 200,
    }
    assert {each.kind for each in arrived} == {"SERVER", "CLIENT", "INTERNAL"}
    assert server.resource["service.name"] == "shield"
    assert server.resource["deployment.environment.name"] == "test"
    assert collected.fields[0]["api-key"] == COLLECTORS_KEY


async def test_no_name_has_an_id_and_nothing_a_credential(
    collected: Collector, upstream: RunningSimulator
) -> None:
    """Whatever is asked, and however it ends."""
    writes = {"server__writes": "forward"}
    async with gateway(upstream.base_url, tracing__endpoint=collected.url, **writes) as planes:

        async def ask(method: str, path: str, **fields: str) -> None:
            named = {"traceparent": KEPT, **fields}
            await planes.data.request(method, path, headers=named, content=b"{}")

        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "PROPFIND"):
            await ask(method, f"/training/{A}")
        await ask("PUT", f"/training/{A}/draft")
        await ask("POST", "/training")
        await ask("GET", f"/{TOKEN}/training")
        await ask("GET", "/training/%20")
        await ask("GET", f"/training/{A}?token={TOKEN}")
        await ask("GET", f"/training/{B}", authorization="Bearer unknown-token")
        await planes.get("no-such-training", traceparent=KEPT)

        await until(lambda: arrive(collected, 13))

    names = {each.name for each in collected.spans}
    assert names <= {
        *(f"{method} /training/{{id}}" for method in ("GET", "HEAD", "PUT", "DELETE")),
        *("PUT /training/{id}/draft", "POST /training", "GET", "PATCH", "HTTP", "DELETE", "PUT"),
        *("lookup", "lease", "budget", "upstream", "store"),
    }
    assert {"PUT /training/{id}/draft", "POST /training", "HTTP"} <= names
    told = b"".join(collected.bodies)
    assert A.encode() in told
    for secret in (TOKEN, "unknown-token", "Bearer"):
        assert secret.encode() not in told


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_hit_that_is_kept_is_one_span(
    collected: Collector, upstream: RunningSimulator, method: str
) -> None:
    """One that is not is none, and is answered the same."""
    async with gateway(upstream.base_url, tracing__endpoint=collected.url) as planes:
        await planes.get(A)
        for parent in (PASSED_OVER, KEPT, KEPT):
            fields = {"traceparent": parent}
            answer = await planes.data.request(method, f"/training/{A}", headers=fields)
            assert "detail=l1" in answer.headers["cache-status"]
        arrived = await spans(collected, 2)

    for each in arrived:
        assert (each.name, each.kind) == (f"{method} /training/{{id}}", "SERVER")
        assert (each.trace, each.parent) == (TRACE, PARENT)
        assert each.attributes["url.path"] == f"/training/{A}"
        assert each.attributes["gateway.outcome"] == "fresh"
        assert each.attributes["gateway.tier"] == "l1"
        assert each.attributes["http.response.status_code"] == 200
        assert 0.0 < each.seconds < 60.0


async def test_a_hit_in_redis_tells_of_its_look_up(
    collected: Collector, upstream: RunningSimulator, redis_url: str
) -> None:
    """Where the trace is kept it goes the ordinary way, again and again."""
    hasty = {"l1__lifetime": "0s", "tracing__endpoint": collected.url}
    async with gateway(upstream.base_url, redis_url, **hasty) as planes:
        for _ in range(4):
            await planes.get(A)
        for _ in range(3):
            await planes.get(A, traceparent=KEPT)
        arrived = await spans(collected, 6)

    assert sorted(each.name for each in arrived) == [SERVER] * 3 + ["lookup"] * 3


async def test_chance_begins_traces_where_it_is_asked_to(
    collected: Collector,
    upstream: RunningSimulator,
    control: SimulatorClient,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The sampler of OpenTelemetry's variables; the trace is in the log and reaches the API."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1.0")
    async with gateway(upstream.base_url, tracing__endpoint=collected.url) as planes:
        await planes.get(A)
        await planes.get(A)
        await planes.get(B, traceparent=PASSED_OVER)
        asked, _ = await control.requests()
        arrived = await spans(collected, 6 + 1)

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    first = next(each for each in lines if each["event"] == "request.answered")
    miss, hit = collected.named(SERVER)
    assert (miss.parent, hit.parent) == ("", "")
    assert len({each.trace for each in arrived}) == 2
    assert first["trace_id"] == miss.trace
    assert dict(asked.headers)["traceparent"].split("-")[1] == miss.trace


async def test_a_collector_that_is_away_fails_nothing_and_is_told(
    upstream: RunningSimulator,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests are answered; the spans are counted as lost, and a line says why."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key={COLLECTORS_KEY}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with gateway(upstream.base_url, tracing__endpoint=endpoint) as planes:
            for _ in range(3):
                assert (await planes.get(A, traceparent=KEPT)).status_code == 200
            await until(lambda: planes.reads('gateway_trace_spans_total{result="failed"}', 8.0))
            assert await planes.metric('gateway_trace_spans_total{result="sent"}') == 0.0

    text = capfd.readouterr().out
    lost = [each for each in map(json.loads, text.splitlines()) if each["event"].startswith("trac")]
    assert {(each["event"], each["reason"], each["why"]) for each in lost} == {
        ("tracing.spans-lost", "failed", "ConnectionError")
    }
    assert COLLECTORS_KEY not in text


async def test_a_collector_that_refuses_is_told(
    collected: Collector, upstream: RunningSimulator, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the status of its answer."""
    collected.status = 401
    async with gateway(upstream.base_url, tracing__endpoint=collected.url) as planes:
        await planes.get(A, traceparent=KEPT)
        await until(lambda: planes.reads('gateway_trace_spans_total{result="failed"}', 6.0))

    assert '"why":"status 401"' in capfd.readouterr().out


async def test_a_slow_collector_delays_nothing_and_what_does_not_fit_is_dropped(
    collected: Collector, upstream: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many spans wait and no more; the end waits for a bounded time."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")  # less than one request sends by default
    collected.open.clear()
    async with gateway(upstream.base_url, tracing__endpoint=collected.url) as planes:
        await planes.get(A)
        for _ in range(30):
            before = time.monotonic()
            await planes.get(A, traceparent=KEPT)
            assert time.monotonic() - before < 5.0, "the collector would take for ever"
        dropped = await planes.metric('gateway_trace_spans_total{result="dropped"}')
        ended = time.monotonic()

    assert dropped == 20.0
    assert time.monotonic() - ended < 20.0


async def test_the_end_sends_what_waits(
    collected: Collector, upstream: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it was to wait."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    async with gateway(upstream.base_url, tracing__endpoint=collected.url) as planes:
        await planes.get(A, traceparent=KEPT)
        assert collected.spans == []

    assert len(collected.spans) == 6


@pytest.mark.parametrize("off", ["unset", "disabled"])
async def test_nothing_is_sent_where_it_is_off(
    collected: Collector, upstream: RunningSimulator, monkeypatch: pytest.MonkeyPatch, off: str
) -> None:
    """Whatever the variables of OpenTelemetry say; and where they switch it off."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
    monkeypatch.setenv("OTEL_SDK_DISABLED", str(off == "disabled"))
    settings = {} if off == "unset" else {"tracing__endpoint": collected.url}
    async with gateway(upstream.base_url, **settings) as planes:
        for _ in range(2):
            await planes.get(A, traceparent=KEPT)
        assert "gateway_trace_spans" not in await _metrics(planes)

    assert collected.fields == []


async def _metrics(planes: Planes) -> str:
    samples = (await planes.admin.get("/metrics")).text.splitlines()
    return "\n".join(line for line in samples if not line.startswith("#"))


async def test_the_start_names_the_extra_that_is_missing(
    upstream: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the setting that needs it."""
    monkeypatch.setitem(sys.modules, "gateway.adapters.otlp", None)

    with pytest.raises(StartFault, match=r"tracing\.endpoint .* 'training-gateway\[otlp\]'"):
        async with gateway(upstream.base_url, tracing__endpoint="http://127.0.0.1:4318"):
            pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "ten"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "ten"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5000"),
    ],
)
async def test_variables_that_make_no_sense_stop_the_start(
    upstream: RunningSimulator, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """As settings that are faulty do."""
    monkeypatch.setenv(name, value)

    with pytest.raises(StartFault, match=f"{name}\\b.*{value}"):
        async with gateway(upstream.base_url, tracing__endpoint="http://127.0.0.1:4318"):
            pass
