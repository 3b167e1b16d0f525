"""What is exported: how many series, whoever asks for whatever; and both ways out count alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.simulator import RunningSimulator, SimulatorConfig, running
from gateway.web.wire.hits import Hits
from tests.integration.gateways import BEARER, Planes, gateway
from tests.rounds.metric_series import hundred_clients, read_by_all, series_of

ONE = "trn_000001"
EACH = 25
MOST = 1_110
# Measured, not counted: they differ from one request to the next.
SUMS = ("_sum", "_created")


@pytest.fixture
async def upstream() -> AsyncIterator[RunningSimulator]:
    """A simulator without a limit."""
    async with running(SimulatorConfig(trainings=5, limit=None)) as simulator:
        yield simulator


async def test_the_series_are_few_whatever_is_asked_for(
    upstream: RunningSimulator, tmp_path: Path, redis_url: str
) -> None:
    """A hundred clients and several hundred ids, known, unknown and impossible."""
    settings = hundred_clients(tmp_path)
    ids = [*(f"unheard-{number}" for number in range(300)), ONE, "..", "%20", "x" * 200]
    async with gateway(upstream.base_url, redis_url, **settings) as planes:
        await read_by_all(str(planes.data.base_url), ids, "Cache-Control: only-if-cached")
        await read_by_all(str(planes.data.base_url), [ONE])
        exported = await series_of(str(planes.admin.base_url))

    assert 700 < len(exported) <= MOST
    assert sum(each.startswith("gateway_client_requests_total") for each in exported) == 300
    assert not [each for each in exported if "unheard" in each or "trn_" in each or "gw_" in each]


async def test_both_ways_out_count_alike(
    upstream: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many hits by the short way and so many by Starlette's move the same series as far."""
    short: list[bool] = []
    answer = Hits.answer
    monkeypatch.setattr(Hits, "answer", _noted(short, answer))
    async with gateway(upstream.base_url, freshness__lifetime="1h") as planes:
        await planes.get(ONE)
        counts = [await _counts(planes)]
        for odd in ([], [("x-odd", "1"), ("x-odd", "2")]):
            await _hits(planes, odd)
            counts.append(await _counts(planes))
    before, between, after = counts

    assert short.count(True) == 2 * EACH
    assert between - before == after - between
    assert (after - between)[
        'gateway_requests_total{outcome="fresh",status="2xx",tier="l1"}'
    ] == EACH
    assert (after - between)[
        'gateway_requests_total{outcome="fresh",status="3xx",tier="l1"}'
    ] == EACH


async def _hits(planes: Planes, odd: list[tuple[str, str]]) -> None:
    """Plain ones and conditional ones; with odd fields they are not for the short way."""
    headers = httpx.Headers([*BEARER.items(), *odd])
    for _ in range(EACH):
        held = await planes.data.get(f"/training/{ONE}", headers=headers)
        same = await planes.data.get(
            f"/training/{ONE}",
            headers=[*headers.multi_items(), ("if-none-match", held.headers["etag"])],
        )
        assert (held.status_code, same.status_code) == (200, 304)


async def _counts(planes: Planes) -> Counter[str]:
    """What the data plane's requests move; times themselves are left out."""
    text = (await planes.admin.get("/metrics")).text
    return Counter(
        {
            f"{sample.name}{_braces(sample.labels)}": int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if family.type in ("counter", "histogram")
            and sample.name.startswith("gateway_")
            and not sample.name.endswith(SUMS)
            and (not sample.name.endswith("_bucket") or sample.labels["le"] == "+Inf")
        }
    )


def _braces(labels: dict[str, str]) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{inner}}}" if inner else ""


def _noted(short: list[bool], answer: Callable[..., bytes | None]) -> Callable[..., bytes | None]:
    """The same, and whether there was an answer is noted."""

    def noted(*said: object, **how: object) -> bytes | None:
        found = answer(*said, **how)
        short.append(found is not None)
        return found

    return noted
