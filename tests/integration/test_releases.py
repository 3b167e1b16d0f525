"""Two releases on one Redis during a rollout: each writes beside the other."""

from __future__ import annotations

import random

import redis.asyncio as driver

from gateway.adapters.redis.keys import Names
from gateway.core.access.caller import Passthrough
from gateway.core.cache.entry import Key
from gateway.simulator import RunningSimulator, SimulatorClient
from tests.doubles.previous import PreviousRelease, body_name, encode
from tests.integration.gateways import TOKEN, until
from tests.integration.replicas import hears, number_of, replicas
from tests.support.redis_acl import without

ONE = "trn_000001"
QUESTIONS = 'gateway_redis_request_duration_seconds_count{operation="confirm"}'


def key_of(upstream: RunningSimulator) -> Key:
    """Where the bodies of the tests' caller stand."""
    access = Passthrough(upstream.base_url, None, False)
    return Key(access.admit([f"Bearer {TOKEN}".encode()]).partition, ONE)


async def test_both_releases_read_their_own_under_interleaved_writes(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """Neither reads what the other wrote, nor writes over it, whatever the order."""
    key, chance = key_of(upstream), random.Random(1)
    hasty = {"freshness__lifetime": "1ms", "freshness__stale_while_revalidate": "0"}
    async with (
        driver.Redis.from_url(without(redis_url)) as client,
        replicas(upstream.base_url, [redis_url] * 2, **hasty) as all_planes,
    ):
        previous = PreviousRelease(client)
        ours, theirs = 0, None
        for number in range(1, 60):
            match chance.choice(["edit", "write", "read", "read"]):
                case "edit":
                    await control.edit(ONE, f"{number}")
                    ours = number
                case "write":
                    theirs = (f"{number}", b"written by the previous release")
                    await previous.write(key, *theirs)
                case _:
                    answer = await chance.choice(all_planes).get(ONE)
                    assert number_of(answer) == ours
                    assert await previous.read(key) == theirs

        assert theirs is not None
        assert await client.exists(body_name(key), Names("gateway").slot(key)[1]) == 2


async def test_an_envelope_of_another_release_is_a_miss(
    upstream: RunningSimulator, redis_url: str
) -> None:
    """Even where it stands in our own place: it is asked for anew, counted, and replaced."""
    key = key_of(upstream)
    async with (
        driver.Redis.from_url(without(redis_url)) as client,
        replicas(upstream.base_url, [redis_url] * 2) as (one, other),
    ):
        await one.get(ONE)
        await client.set(Names("gateway").slot(key)[1], encode(key, "1", b"{}"), px=60_000)

        answer = await other.get(ONE)

        assert "fwd=uri-miss" in answer.headers["cache-status"]
        assert answer.json()["id"] == ONE


async def test_a_notice_of_another_release_costs_a_question(
    upstream: RunningSimulator, redis_url: str
) -> None:
    """What it says cannot be read, so all that L1 holds is confirmed, and nobody stops hearing."""
    async with (
        driver.Redis.from_url(without(redis_url)) as client,
        replicas(upstream.base_url, [redis_url] * 2, l1__lifetime="60s") as (one, other),
    ):
        await one.get(ONE)
        assert "detail=l1" in (await one.get(ONE)).headers["cache-status"]

        before = await one.metric(QUESTIONS)
        await PreviousRelease(client).tell(ONE)

        async def is_asked_again() -> bool:
            answer = await one.get(ONE)
            assert answer.headers["cache-status"].startswith("gateway; hit")
            return await one.metric(QUESTIONS) > before

        await until(is_asked_again)
        assert await hears(one)
        assert await hears(other)
        told = (await one.admin.post("/invalidate", json={"ids": [ONE]})).json()
        assert told == {"replicas": {"known": 2, "confirmed": 2}}
