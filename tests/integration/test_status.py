"""What /status says of the answers that a real gateway gave just before."""

from __future__ import annotations

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until

A = "trn_000001"


async def oldest(planes: Planes) -> float | None:
    """How old the oldest stale answer of the last minute was."""
    status = (await planes.admin.get("/status")).json()
    seconds: float | None = status["freshness"]["oldest_stale_seconds"]
    return seconds


async def test_the_oldest_stale_answer_is_shown(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """None while all are fresh; then by how much it is past, whichever way it was answered."""
    async with gateway(upstream.base_url, freshness__lifetime="1s") as planes:
        await planes.get(A)
        await planes.get(A)
        assert await oldest(planes) is None
        await control.fault("status-500")
        ages: list[int] = []

        async def is_old() -> bool:
            answer = await planes.get(A)
            ages.append(int(answer.headers["age"]))
            return "stale-error" in answer.headers["cache-status"] and ages[-1] >= 3

        await until(is_old)
        first = await oldest(planes)
        await control.clear_faults()
        await until(lambda: is_fresh(planes))
        second = await oldest(planes)

    assert first is not None
    assert ages[-1] <= first < ages[-1] + 1.5
    assert second is not None
    assert second >= first


async def is_fresh(planes: Planes) -> bool:
    """Whether the upstream's answer came in the meantime; to be waited for."""
    return "detail=l1" in (await planes.get(A)).headers["cache-status"]


async def test_budgets_of_single_credentials_are_not_shown(upstream: RunningSimulator) -> None:
    """A figure of another budget would say that all is well while a caller's gate is closed."""
    settings = {"upstream__rate_scope": "credential"}
    async with gateway(upstream.base_url, None, **settings) as planes:
        assert (await planes.get("trn_000001")).status_code == 200
        status = (await planes.admin.get("/status")).json()
        metrics = (await planes.admin.get("/metrics")).text

    assert status["budgets"] == {}
    assert "gateway_gate_closed{" not in metrics
    assert "gateway_budget_available{" not in metrics


async def test_a_limit_that_a_429_lowered_is_a_finding(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """With both limits: the configured one may be far from spent."""
    async with gateway(upstream.base_url, upstream__rate_limit="200/minute") as planes:
        await control.fault("rate-limited")
        await planes.get(A)
        status = (await planes.admin.get("/status")).json()

    says = [each["says"] for each in status["findings"]]
    lowered = status["budgets"]["default"]["limit"]
    assert f"A 429 lowered the limit of tenant default from 200 to {lowered} calls" in says


async def test_an_address_where_no_training_is_known_is_a_finding(
    upstream: RunningSimulator, control: SimulatorClient
) -> None:
    """Callers get 404s, and each of them is an answer of the API."""
    await control.fault("not-found")
    async with gateway(upstream.base_url, sweep__enabled="false") as planes:
        for n in range(30):
            await planes.get(f"trn_{n}")
        status = (await planes.admin.get("/status")).json()

    assert "The last 30 answers of the API were all 404" in status["findings"][0]["says"]
