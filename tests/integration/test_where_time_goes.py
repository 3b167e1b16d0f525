"""A slow answer of a real gateway: what its line says, and where its trace is found again."""

from __future__ import annotations

import json

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import gateway

A = "trn_000001"
LATENCY = 0.3


@pytest.mark.parametrize("sampled", [True, False])
async def test_a_slow_answer_says_what_it_waited_for(
    upstream: RunningSimulator,
    control: SimulatorClient,
    capfd: pytest.CaptureFixture[str],
    sampled: bool,
) -> None:
    """Upstream took the time; the trace is in the line, and an exemplar where somebody keeps it."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    await control.latency(LATENCY)
    async with gateway(upstream.base_url) as planes:
        parent = f"00-{trace}-b7ad6b7169203331-0{int(sampled)}"
        await planes.get(A, traceparent=parent)
        (asked,) = await control.requests()
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        metrics = (await planes.admin.get("/metrics", headers=accept)).text

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    (line,) = [each for each in lines if each["event"] == "request.answered"]
    assert dict(asked.headers)["traceparent"] == parent
    assert line["trace_id"] == trace
    assert line["upstream_ms"] >= LATENCY * 1_000
    assert line["duration_ms"] >= line["upstream_ms"]
    assert {"lookup_ms", "lease_ms", "budget_ms", "store_ms"} <= line.keys()
    told = [each.partition("{")[0] for each in metrics.splitlines() if trace in each]
    assert told == (
        [
            "gateway_request_duration_seconds_bucket",
            "gateway_upstream_request_duration_seconds_bucket",
        ]
        if sampled
        else []
    )
