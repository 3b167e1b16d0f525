"""The soak itself: readers, editors, operators and faults, for a while; then what came of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx

from tests.crowds import memory_of
from tests.soak.faults import FAULTS
from tests.soak.truth import IDS, ORGANISATIONS, Question
from tests.soak.world import LIMIT, Replica, World, world

READERS = 12
PAUSE = 0.15
PATIENCE = 30.0
_UNREACHABLE = (httpx.TransportError,)


@dataclass(slots=True)
class Outcome:
    """What a soak found. `memory` (bytes) and `files` are samples of the replica that lives all
    along; `windows` the most calls in any window of the limit, for each upstream token."""

    wrong: list[str]
    seen: Counter[str]
    faults: Counter[str]
    windows: dict[str, int]
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """How much more memory it took in the last tenth than after the first fifth, as a share."""
        after, last = len(self.memory) // 5, max(1, len(self.memory) // 10)
        begin = sorted(self.memory[after : after + last])[last // 2]
        return sorted(self.memory[-last:])[last // 2] / begin - 1.0


async def soak(
    folder: Path, seconds: float, seed: int, tell: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Run it; the same seed brings the same faults in the same order."""
    async with world(folder) as ours:
        faults: Counter[str] = Counter()
        outcome = Outcome(ours.truth.wrong, ours.truth.seen, faults, {})
        ends = time.monotonic() + seconds
        tasks = [
            *(_read_on(ours, number, Random(f"{seed}-{number}")) for number in range(READERS)),
            _edit_on(ours, Random(f"{seed}-edits")),
            _order_on(ours, Random(f"{seed}-orders")),
            _sample(ours, outcome, tell),
        ]
        running = [asyncio.create_task(task) for task in tasks]
        try:
            await _fault_on(ours, Random(seed), faults, ends)
        finally:
            ended = [task for task in running if task.done()]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        for task in ended:
            task.result()  # none ends by itself
        await _judge_budget(ours, outcome)
        outcome.wrong += [
            f"{each.gateway.admin} logged a traceback"
            for each in ours.replicas
            if "Traceback" in each.gateway.process.output
        ]
        return outcome


async def _fault_on(ours: World, chance: Random, faults: Counter[str], ends: float) -> None:
    while time.monotonic() < ends:
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        fault = chance.choice(FAULTS)
        await fault(ours, chance)
        faults[fault.__name__] += 1


async def _read_on(ours: World, number: int, chance: Random) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=each.gateway.data, timeout=PATIENCE, trust_env=False)
            )
            for each in ours.replicas
        ]
        while True:
            await asyncio.sleep(PAUSE * chance.random() * 2)
            which = chance.randrange(len(clients))
            training = (chance.choice(ORGANISATIONS), chance.choice(IDS))
            await _read(ours, clients[which], ours.replicas[which], training, number)


async def _read(
    ours: World,
    client: httpx.AsyncClient,
    replica: Replica,
    training: tuple[str, str],
    reader: int,
) -> None:
    name, was_up, truth = replica.name, replica.is_up, ours.truth
    question = Question(training, name, reader, time.monotonic(), truth.floors[training])
    key = ours.key_of(training[0])
    try:
        answer = await client.get(
            f"/training/{training[1]}", headers={"Authorization": f"Bearer {key}"}
        )
    except _UNREACHABLE as error:
        truth.seen["unreachable"] += 1
        if was_up and replica.is_up and replica.name == name:
            truth.wrong.append(f"{name} is up and did not answer: {error!r}")
        return
    truth.judge(question, answer, time.monotonic() - question.asked_at)


async def _edit_on(ours: World, chance: Random) -> None:
    while True:
        await asyncio.sleep(chance.random())
        await ours.edit(chance.choice(ORGANISATIONS), chance.choice(IDS))


async def _order_on(ours: World, chance: Random) -> None:
    """Invalidate, often what was edited just now; what all confirmed is never answered again."""
    while True:
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        training_id = chance.choice(IDS)
        if chance.random() < 0.7:
            await ours.edit(chance.choice(ORGANISATIONS), training_id)
        versions = {
            (name, training_id): ours.truth.latest((name, training_id)) for name in ORGANISATIONS
        }
        if await _is_confirmed(ours.replicas[0], training_id):
            ours.truth.seen["orders confirmed"] += 1
            for training, number in versions.items():
                ours.truth.floors[training] = max(ours.truth.floors[training], number)
        else:
            ours.truth.seen["orders not confirmed"] += 1


async def _is_confirmed(replica: Replica, training_id: str) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        answer = await client.post(
            f"{replica.gateway.admin}/invalidate", json={"ids": [training_id]}
        )
    return answer.status_code == 200


async def _sample(ours: World, outcome: Outcome, tell: Callable[[str], None]) -> None:
    pid = ours.replicas[0].gateway.process.pid
    told = 0
    while True:
        await asyncio.sleep(5.0)
        for wrong in outcome.wrong[told : told + 5]:
            tell(wrong)
        told = len(outcome.wrong)
        outcome.memory.append(memory_of(pid))
        outcome.files.append(len(os.listdir(f"/proc/{pid}/fd")))
        if len(outcome.memory) % 12 == 0:
            tell(
                f"{sum(outcome.seen[each] for each in ('2xx', '5xx'))} answers, "
                f"{outcome.seen['5xx']} of them 5xx, {outcome.faults.total()} faults, "
                f"{len(outcome.wrong)} violations, {outcome.memory[-1] >> 20} MiB"
            )


async def _judge_budget(ours: World, outcome: Outcome) -> None:
    stats = await ours.upstream.stats()
    outcome.windows = dict(stats.fullest_window_asked)
    outcome.wrong += [
        f"{token}: {calls} calls in a window, {LIMIT} are allowed"
        for token, calls in outcome.windows.items()
        if calls > LIMIT
    ]
