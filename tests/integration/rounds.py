"""Edit and invalidate, again and again, while slow answers with the old body are on their way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.doubles.proxy import LateAnswers
from tests.integration.gateways import Planes
from tests.integration.replicas import Watch, number_of, replicas

ONE = "trn_000001"
# Nearly every read finds its entry stale, so that fetches start at any moment of a round.
HASTY = {"freshness__lifetime": "20ms", "l1__lifetime": "1s"}


async def edit_and_invalidate(
    upstream: RunningSimulator,
    control: SimulatorClient,
    redis: str,
    *,
    count: int,
    rounds: int,
    skews: Sequence[float] = (),
) -> None:
    """So many rounds on so many replicas: after a confirmed order no answer is an old one."""
    async with (
        LateAnswers(upstream.base_url, longest=0.08) as late,
        replicas(late.url, [redis] * count, skews, **HASTY) as all_planes,
        Watch(all_planes, ONE, pause=0.04).open() as watch,
    ):
        chance = random.Random(count)
        unconfirmed = 0
        for number in range(1, rounds + 1):
            await asyncio.sleep(0.05 * chance.random())
            edited = await control.edit(ONE, f"{number}")
            bound = edited["updated_at"] if chance.random() < 0.5 else None
            if not await _confirmed(chance.choice(all_planes), bound):
                unconfirmed += 1
                continue
            watch.floor = number
            answers = await asyncio.gather(*(planes.get(ONE) for planes in all_planes))
            assert [number_of(answer) for answer in answers] == [number] * count

        assert unconfirmed <= rounds / 10
        assert watch.answers > rounds


async def _confirmed(planes: Planes, bound: object) -> bool:
    """Whether every replica did as told."""
    order = {"ids": [ONE]} if bound is None else {"ids": [ONE], "updated_at": bound}
    answer = await planes.admin.post("/invalidate", json=order)
    said = answer.json()["replicas"]
    assert answer.status_code == (200 if said["known"] == said["confirmed"] else 202)
    return answer.status_code == 200
