"""The control side: counts, the last requests, latency, orders that make no sense."""

from __future__ import annotations

import time

import httpx
import pytest

from gateway.simulator import RunningSimulator, SimulatorClient

PATH = "/training/trn_000001"


async def test_stats_count_by_everything(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """By endpoint, status, id and key; orders are not counted."""
    await api.get(PATH)
    await api.get(PATH)
    await api.get("/training")
    await api.get("/training/trn_999999", headers={"Authorization": "Bearer stranger"})

    stats = await control.stats()

    assert stats.requests == 4
    assert stats.by_endpoint == {"GET /training/{id}": 3, "GET /training": 1}
    assert stats.by_status == {"200": 3, "401": 1}
    assert stats.by_id == {"trn_000001": 2, "trn_999999": 1}
    assert stats.by_key == {"demo-token": 3, "stranger": 1}
    assert stats.fullest_window == {"demo-token": 3, "stranger": 1}


async def test_stats_can_start_anew(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """After the reset everything is at nothing."""
    await api.get(PATH)
    await control.reset_stats()

    stats = await control.stats()

    assert (stats.requests, stats.by_id, stats.fullest_window) == (0, {}, {"demo-token": 0})
    assert await control.requests() == []


async def test_requests_are_kept_as_they_came(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """Method, path, every header with its name in lower case, time and key, in order."""
    await api.get(PATH, headers={"X-Thing": "One"})
    await api.delete("/training/trn_000002")

    first, second = await control.requests()

    assert (first.method, first.path, first.key) == ("GET", PATH, "demo-token")
    assert ("x-thing", "One") in first.headers
    assert (second.method, second.path) == ("DELETE", "/training/trn_000002")
    assert first.at < second.at <= time.monotonic()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("fault", {"mode": "sulk"}),
        ("fault", {"mode": "hang", "id": ["a"]}),
        ("fault", {"mode": "hang", "count": 0}),
        ("revision", {"name": "next"}),
        ("limit", {"limit": 0}),
        ("edit", {"id": "trn_000001", "updated_at": "2026-01-01T00:00:00"}),
    ],
)
async def test_orders_that_make_no_sense_are_refused(
    simulator: RunningSimulator, path: str, body: dict[str, object]
) -> None:
    """400 with the reason, never ignored."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{simulator.base_url}/_control/{path}", json=body)

    assert answer.status_code == 400
    assert answer.json()["message"]
