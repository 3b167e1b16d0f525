"""The list over real HTTP: the replica that sweeps has a catalogue, and others copy it."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
from asyncio.subprocess import PIPE
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import httpx

from gateway.simulator import SimulatorClient, SimulatorConfig, running
from tests.house.sources import ROOT
from tests.integration.gateways import BEARER, TOKEN, Planes, gateway, until
from tests.integration.replicas import UNLIMITED
from tests.integration.sweeping import OURS, leader_of

# Nothing becomes stale meanwhile, however slow the machine is.
HASTY = OURS | UNLIMITED | {"freshness__lifetime": "10m", "sweep__interval": "300ms"}
IDS = [f"trn_{number:06d}" for number in range(1, 41)]
QUERIES = [
    "&".join(filter(None, each))
    for each in itertools.product(
        ("limit=1", "limit=7", "limit=100"),
        ("", "offset=0", "offset=6", "offset=100", "offset=119", "offset=500"),
        ("", "type=BEHAVIORAL", "type=SCENARIO_SPECIFIC"),
        ("", "is_draft=true", "is_draft=false"),
        ("", "sort_by=created_at"),
    )
]


@dataclass(frozen=True)
class World:
    """Gateways, the first of which has the catalogue, and clients of the API itself."""

    all_planes: list[Planes]
    api: httpx.AsyncClient
    control: SimulatorClient

    async def list(self, query: str, at: int = 0) -> httpx.Response:
        """What a gateway answers."""
        response = await self.all_planes[at].data.get(f"/training?{query}")
        assert response.status_code == 200
        return response

    async def calls(self) -> float:
        """How many calls were made, but those of the sweep."""
        sample = 'gateway_upstream_requests_total{purpose="'
        waited = [f"{sample}{each}" for each in ("miss", "revalidation", "refresh")]
        return sum([await self.all_planes[0].metric(each) for each in waited])

    async def has_catalogue(self, at: int = 0) -> bool:
        """Whether it answers now; to be waited for."""
        return is_made(await self.list("limit=1", at))


def is_made(response: httpx.Response) -> bool:
    """Whether it came from the catalogue."""
    return response.headers["cache-status"].endswith("; detail=catalogue")


@asynccontextmanager
async def world(redis: str | None, count: int = 1) -> AsyncIterator[World]:
    """A hundred and twenty trainings, and that many gateways."""
    async with AsyncExitStack() as stack:
        config = SimulatorConfig(trainings=120, limit=None)
        url = (await stack.enter_async_context(running(config))).base_url
        client = httpx.AsyncClient(base_url=url, headers=BEARER, trust_env=False)
        api = await stack.enter_async_context(client)
        control = await stack.enter_async_context(SimulatorClient(url))
        started = [
            await stack.enter_async_context(gateway(url, redis, **HASTY)) for _ in range(count)
        ]
        first = started.pop(await leader_of(started))
        made = World([first, *started], api, control)
        await until(made.has_catalogue, 20.0)
        yield made


async def test_lists_are_byte_for_byte_those_of_the_api(shared: str | None) -> None:
    """With every combination of parameters, and no call."""
    async with world(shared) as here:
        truth = [(await here.api.get(f"/training?{query}")).content for query in QUERIES]
        before = await here.calls()
        responses = [await here.list(query) for query in QUERIES]
        calls = await here.calls() - before

    assert [each.content for each in responses] == truth
    assert all(map(is_made, responses))
    assert calls == 0


async def test_other_replicas_copy_the_catalogue(redis_url: str) -> None:
    """The first list is forwarded."""
    async with world(redis_url, 2) as here:
        first = await here.list("limit=7&offset=6", 1)
        await until(partial(here.has_catalogue, 1), 20.0)
        responses = [await here.list(query, at) for query in QUERIES for at in (0, 1)]
        truth = await here.api.get("/training?limit=7&offset=6")

    assert first.headers["cache-status"].endswith("detail=list")
    assert first.content == truth.content
    for one, other in zip(responses[::2], responses[1::2], strict=True):
        assert one.content == other.content
        assert one.headers["etag"] == other.headers["etag"]
    assert all(map(is_made, responses))


async def test_lists_while_trainings_come_and_go(shared: str | None) -> None:
    """No training is on the pages of one edition twice, or missing that was there all the time."""
    chance, editions = random.Random(5), defaultdict[str, dict[int, list[str]]](dict)
    async with world(shared) as here:
        for at in range(240):
            if at % 24 == 0:
                await here.control.insert()
            elif at % 24 == 5:
                await here.control.delete(f"trn_{100 + at // 24:06d}")
            else:
                await here.control.edit(chance.choice(IDS), "edited")
            offset = chance.choice((0, 50, 100))
            response = await here.list(f"limit=50&offset={offset}")
            if is_made(response):
                edition = response.headers["etag"].strip('"').partition("-")[0]
                found = [each["id"] for each in response.json()["items"]]
                assert editions[edition].setdefault(offset, found) == found
        await until(here.has_catalogue, 20.0)
        last = await here.list("limit=100")
        truth = await here.api.get("/training?limit=100")

    whole = [[*itertools.chain(*each.values())] for each in editions.values() if len(each) == 3]
    assert whole
    assert all(len(set(ids)) == len(ids) and {*IDS} <= {*ids} for ids in whole)
    assert last.json()["total"] == truth.json()["total"]


async def test_the_program_in_the_documents(shared: str | None) -> None:
    """Forty trainings and all BEHAVIORAL ones, without a call."""
    async with world(shared) as here:
        await here.list(f"ids={','.join(IDS)}")
        before, url = await here.calls(), str(here.all_planes[0].data.base_url)
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "docs/read_many.py"), *IDS),
            env=os.environ | {"GATEWAY": url, "TOKEN": TOKEN},
            stdout=PIPE,
        )
        output, _ = await program.communicate()
        truth = (await here.api.get("/training?type=BEHAVIORAL&limit=100")).json()
        calls = await here.calls() - before

    first = " ".join(each["id"] for each in truth["items"][:3])
    assert output.decode().splitlines() == [
        f"by id 40 {' '.join(IDS[:3])}",
        f"BEHAVIORAL {truth['total']} {first}",
    ]
    assert calls == 0
