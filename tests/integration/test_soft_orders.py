"""Soft invalidations while the API fails: stale answers, and never an error."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until
from tests.integration.replicas import replicas

IDS = [f"trn_{number:06d}" for number in range(1, 6)]
ONE = IDS[0]
OUTAGES = ["status-500", "rate-limited", "unauthorized"]


async def order(planes: Planes, *, soft: bool, updated_at: str | None = None) -> httpx.Response:
    """Invalidate all of them at that replica."""
    words: dict[str, object] = {"ids": IDS, "soft": soft}
    if updated_at is not None:
        words["updated_at"] = updated_at
    return await planes.admin.post("/invalidate", json=words)


def is_stale(answer: httpx.Response) -> bool:
    """Whether it is what was stored, marked as stale."""
    status = answer.headers["cache-status"]
    return answer.status_code == 200 and ("stale-error" in status or "stale-shielded" in status)


@pytest.mark.parametrize("mode", OUTAGES)
async def test_an_outage_is_answered_stale(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None, mode: str
) -> None:
    """However it fails, through the breaker's opening and behind it, for each reader at once; and
    when the API is back each training is fetched once."""
    settings = {"access__mode": "open", "upstream__token": "demo-token"}
    async with gateway(upstream.base_url, shared, **settings) as planes:
        before = {each: (await planes.get(each)).content for each in IDS}
        await control.fault(mode)
        assert (await order(planes, soft=True)).status_code == 200

        for _ in range(4):
            answers = await asyncio.gather(*(planes.get(each) for each in IDS * 4))
            assert all(map(is_stale, answers))
            assert [each.content for each in answers] == [before[each] for each in IDS * 4]

        await control.clear_faults()
        for each in IDS:
            await until(lambda each=each: is_fresh(planes, each))  # type: ignore[misc]


async def is_fresh(planes: Planes, training_id: str) -> bool:
    """Whether the replica answers with what it fetched, or stored after that."""
    answer = await planes.get(training_id)
    return answer.status_code == 200 and not is_stale(answer)


async def test_a_hard_order_leaves_nothing(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """After a soft one too: then an outage is an error."""
    async with gateway(upstream.base_url, shared) as planes:
        await planes.get(ONE)
        await control.fault("status-500")
        await order(planes, soft=True)
        assert is_stale(await planes.get(ONE))

        await order(planes, soft=False)

        assert (await planes.get(ONE)).status_code == 502


async def test_a_version_that_is_not_there_yet_is_waited_for_stale(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """A soft order names a version, and the API fails before anybody has seen it."""
    async with gateway(upstream.base_url, shared) as planes:
        before = await planes.get(ONE)
        edited = await control.edit(ONE, "new words")
        await control.fault("status-500")
        await order(planes, soft=True, updated_at=str(edited["updated_at"]))

        stale = await planes.get(ONE)
        assert is_stale(stale)
        assert stale.content == before.content

        await control.clear_faults()
        await until(lambda: is_fresh(planes, ONE))
        assert (await planes.get(ONE)).json()["content"] == "new words"


async def test_all_replicas_obey(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """Each asks at its next read, and each answers stale while that fails, one that was not there
    at the order too."""
    async with replicas(upstream.base_url, [redis_url] * 2) as every:
        for planes in every:
            for each in IDS:
                await planes.get(each)
        await control.fault("status-500")
        done = await order(every[0], soft=True)
        assert done.json()["replicas"] == {"known": 2, "confirmed": 2}
        calls = len(await control.requests())

        async with gateway(upstream.base_url, redis_url) as late:
            for planes in (*every, late):
                assert is_stale(await planes.get(ONE))
            assert len(await control.requests()) > calls

            await control.clear_faults()
            await control.edit(ONE, "new words")
            for planes in (*every, late):
                await until(lambda planes=planes: is_fresh(planes, ONE))  # type: ignore[misc]
                assert (await planes.get(ONE)).json()["content"] == "new words"
