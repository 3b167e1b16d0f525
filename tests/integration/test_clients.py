"""Clients and tenants over real HTTP: what each sees, and what a change of keys costs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from gateway.app import access
from gateway.simulator import RunningSimulator, SimulatorClient, SimulatorConfig, running
from tests.integration.client_files import ClientsFile, bearer, two_tenants
from tests.integration.gateways import Planes, gateway, until
from tests.support.servers import ROOT

ONE = "trn_000001"
IDS = [f"trn_{number:06d}" for number in range(1, 6)]
RELOADED = "gateway_clients_last_reload_successful"


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LOOK_EVERY", 0.02)


@pytest.fixture
async def upstream() -> AsyncIterator[RunningSimulator]:
    """A simulator with two organisations, each with its own trainings under the same ids."""
    keys = {"T-acme": "acme", "T-globex": "globex"}
    async with running(SimulatorConfig(trainings=50, limit=None, keys=keys)) as simulator:
        yield simulator


@pytest.fixture
def file(tmp_path: Path) -> ClientsFile:
    """A client for each of them."""
    return two_tenants(tmp_path)


async def read(planes: Planes, key: str, training_id: str = ONE) -> httpx.Response:
    """What the bearer of the key is answered."""
    return await planes.data.get(f"/training/{training_id}", headers=bearer(key))


async def write(planes: Planes, key: str) -> None:
    """Change the training of the bearer's organisation."""
    body, headers = {"title": "Written"}, bearer(key)
    answer = await planes.data.put(f"/training/{ONE}", json=body, headers=headers)
    answer.raise_for_status()


async def lets_in(planes: Planes, key: str) -> bool:
    """Whether the key is known there by now."""
    return (await read(planes, key)).status_code != 401


@pytest.mark.parametrize("with_redis", [True, False])
async def test_a_write_of_one_tenant_leaves_the_others_their_rescue(
    upstream: RunningSimulator, redis_url: str, file: ClientsFile, with_redis: bool
) -> None:
    """Each tenant has another training with this id. Their own answers are stored as before."""
    url = redis_url if with_redis else None
    async with (
        gateway(upstream.base_url, url, server__writes="forward", **file.settings) as house,
        SimulatorClient(upstream.base_url) as control,
    ):
        (await read(house, "gw_globex")).raise_for_status()
        await write(house, "gw_acme")
        asked = await read(house, "gw_globex")
        await write(house, "gw_acme")
        await control.fault("status-503")
        rescued = await read(house, "gw_globex")
        refused = await read(house, "gw_acme")

        assert "; stored" in asked.headers["cache-status"], asked.headers["cache-status"]
        assert (rescued.status_code, refused.status_code) == (200, 502)


@pytest.mark.parametrize("example", ["docs/running.md", "config/examples/clients.toml"])
async def test_a_client_with_the_rate_of_the_examples_reads_forty_at_once(
    upstream: RunningSimulator, file: ClientsFile, example: str
) -> None:
    """A page that needs forty trainings gets them all. The policy says how many more it may ask."""
    _, text = (ROOT / example).read_text().split("[[clients]]", 1)
    (file.rates["acme-web"],) = re.findall(r'^rate_limit = "(.*)"$', text, re.M)[:1]
    file.write()
    async with gateway(upstream.base_url, **file.settings) as house:
        (await read(house, "gw_acme")).raise_for_status()
        answers = await asyncio.gather(*(read(house, "gw_acme") for _ in range(40)))

        assert [answer.status_code for answer in answers] == [200] * 40
        (policy,) = {answer.headers["ratelimit-policy"] for answer in answers}
        assert policy == '"client";q=50;w=1'


@asynccontextmanager
async def readers(reads: Callable[[], list[tuple[Planes, str]]]) -> AsyncIterator[list[int]]:
    """Read on and on, with whatever keys hold; the statuses, complete once the block ends."""
    statuses: list[int] = []
    done = asyncio.Event()

    async def go_on(training_id: str) -> None:
        # Of its own: beside a busy reader it might wait for a connection for ever.
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            while not done.is_set():
                for planes, key in reads():
                    url = planes.data.base_url.join(f"/training/{training_id}")
                    answer = await client.get(url, headers=bearer(key))
                    statuses.append(answer.status_code)

    async with asyncio.TaskGroup() as group:
        for training_id in IDS:
            group.create_task(go_on(training_id))
        try:
            yield statuses
        finally:
            done.set()


async def test_keys_and_tokens_rotate_under_readers(
    upstream: RunningSimulator, control: SimulatorClient, file: ClientsFile, shared: str | None
) -> None:
    """No request fails, and nothing is fetched again: what is stored is the tenant's."""
    keys = ["gw_acme"]
    async with gateway(upstream.base_url, shared, **file.settings) as planes:
        async with readers(lambda: [(planes, keys[0])]) as statuses:
            await until(lambda: _all_stored(control))
            for turn in range(3):
                new = f"gw_acme_{turn}"
                file.keys["acme-web"] = ("acme", [keys[0], new])
                file.write()
                await until(partial(lets_in, planes, new))
                old, keys[0] = keys[0], new
                file.keys["acme-web"] = ("acme", [new])
                file.tokens["acme"], gone = f"T-acme-{turn}", file.tokens["acme"]
                await control.add_key(file.tokens["acme"], "acme")
                await asyncio.sleep(0.2)  # who has begun with the old key may end
                file.write()
                await until(partial(_is_stranger, planes, old))
                await control.revoke_key(gone)
        calls = (await control.stats()).requests

        assert set(statuses) == {200}
        assert calls == len(IDS)
        await control.edit(ONE, "Later.", org="acme")
        await planes.admin.post("/invalidate", json={"ids": [ONE]})
        assert (await read(planes, keys[0])).json()["content"] == "Later."


async def test_a_renewed_token_is_tried_on_the_list_at_once(
    upstream: RunningSimulator, control: SimulatorClient, file: ClientsFile, shared: str | None
) -> None:
    """The list was refused to the former token, so the sweep was off for a minute. One sweep ends
    at once. Nobody reads, so no second one follows."""
    await control.add_key("T-acme", "acme", scope="none")
    settings = {**file.settings, "sweep__enabled": "true"}
    async with gateway(upstream.base_url, shared, **settings) as planes:
        await until(partial(_sweeps, planes, "off"))
        await control.add_key("T-renewed", "acme")
        file.tokens["acme"] = "T-renewed"
        file.write()

        async def is_warm() -> bool:
            words = await _of_acme(planes)
            sweeps = words.get("sweeps")
            return isinstance(sweeps, int) and sweeps >= 1

        await until(is_warm, patience=30.0)
        assert (await _of_acme(planes))["why_off"] is None


async def _sweeps(planes: Planes, state: str) -> bool:
    return (await _of_acme(planes)).get("sweep") == state


async def _of_acme(planes: Planes) -> dict[str, object]:
    freshness = (await planes.admin.get("/status")).json()["freshness"]
    words: dict[str, object] = freshness["tenants"].get("acme", {})
    return words


async def _all_stored(control: SimulatorClient) -> bool:
    return (await control.stats()).requests >= len(IDS)


async def _is_stranger(planes: Planes, key: str) -> bool:
    return not await lets_in(planes, key)


async def _replace_under_load(
    upstream: RunningSimulator, file: ClientsFile, times: int
) -> list[int]:
    """Replace the file so often, each tenth version faulty; what readers were answered.

    Each version has a key more, by which it shows that it was taken; each faulty one is waited
    for until the gauge tells of it.
    """
    async with (
        gateway(upstream.base_url, **file.settings) as planes,
        readers(lambda: [(planes, "gw_acme"), (planes, "gw_globex")]) as statuses,
    ):
        for turn in range(1, times + 1):
            file.keys["acme-web"] = ("acme", ["gw_acme", f"gw_turn_{turn}"])
            faulty = turn % 10 == 0
            file.write(faulty=faulty)
            if faulty:
                await until(lambda: _tells(planes, 0.0))
                assert not await lets_in(planes, f"gw_turn_{turn}")
                assert await lets_in(planes, f"gw_turn_{turn - 1}")
                events = (await planes.admin.get("/status")).json()["events"]
                told = [each["fields"] for each in events if each["event"] == "clients.refused"]
                assert "colour" in told[0]["faults"][0]
            else:
                await until(partial(lets_in, planes, f"gw_turn_{turn}"))
                await until(lambda: _tells(planes, 1.0))
    return statuses


async def _tells(planes: Planes, value: float) -> bool:
    return await planes.metric(RELOADED) == value


async def test_the_file_is_replaced_under_load(
    upstream: RunningSimulator, file: ClientsFile, full: bool
) -> None:
    """No request of a valid key fails, whatever is in the file; a fault is reported."""
    statuses = await _replace_under_load(upstream, file, 100 if full else 8)

    assert set(statuses) == {200}


async def test_each_tenant_has_its_budget(
    upstream: RunningSimulator, file: ClientsFile, shared: str | None
) -> None:
    """What one spends the other has; the metrics tell of both, /explain of who is who."""
    file.budgets["acme"] = "10/hour"
    file.write()
    async with gateway(upstream.base_url, shared, **file.settings) as planes:
        first = [(await read(planes, "gw_acme", each)).status_code for each in IDS]
        others = [(await read(planes, "gw_globex", each)).status_code for each in IDS]
        limits = [
            await planes.metric(f'gateway_budget_limit{{tenant="{name}"}}')
            for name in ("acme", "globex")
        ]
        nobodys = (await planes.admin.get("/explain/trn_000009")).json()
        detail = (await planes.admin.get(f"/explain/{ONE}")).json()["detail"]
        named = re.findall(r"([0-9a-f]{32}) \((\w+)\)", detail)
        told = [
            (await planes.admin.get(f"/explain/{ONE}?partition={partition}")).json()
            for partition, _ in named
        ]

    assert first == [200, 503, 503, 503, 503]  # a start is paced: a tenth at once
    assert others == [200] * 5
    assert limits == [10, 1000]
    assert {name: partition for partition, name in named} == nobodys["partitions"]
    assert [(words["tenant"], words["clients"]) for words in told] == [
        (name, [f"{name}-web"]) for _, name in named
    ]
    assert {each for words in told for each in words["budgets"]} == {"acme", "globex"}


@pytest.mark.parametrize("mode", ["clients", "open"])
async def test_a_refused_token_of_ours_is_rescued_and_told_once(
    upstream: RunningSimulator, control: SimulatorClient, file: ClientsFile, mode: str
) -> None:
    """Stale answers while there are some, else 502; one line a minute and a metric to alert on."""
    ours = {"access__mode": "open", "upstream__token": "T-acme"}
    settings = dict(file.settings) if mode == "clients" else ours
    windows = {"freshness__lifetime": "100ms", "freshness__stale_while_revalidate": "0s"}
    async with gateway(upstream.base_url, **settings, **windows) as planes:
        good = await read(planes, "gw_acme")
        await control.revoke_key("T-acme")
        await asyncio.sleep(0.15)
        stale = [await read(planes, "gw_acme") for _ in range(5)]
        missing = [await read(planes, "gw_acme", each) for each in IDS[1:]]
        failures = await planes.metric('gateway_upstream_failures_total{reason="refused"}')
        events = [each["event"] for each in (await planes.admin.get("/status")).json()["events"]]

    assert {answer.content for answer in stale} == {good.content}
    assert "detail=stale-error" in stale[0].headers["cache-status"]
    assert {answer.json()["type"] for answer in missing} == {"urn:gateway:problem:upstream-refused"}
    assert {answer.status_code for answer in missing} == {502}
    assert failures >= len(missing)
    assert events.count("upstream.token-refused") == 1
    assert "upstream.failed" not in events
