"""The soak itself: callers, editors, operators and faults, for a while; then what came of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

import httpx

from tests.rounds.bad_callers import memory_of
from tests.soak.callers import read_on, stay_on
from tests.soak.faults import FAULTS, Planned, plan
from tests.soak.replica import Replica
from tests.soak.truth import IDS, ORGANISATIONS
from tests.soak.world import LIMIT, World, world

READERS = 8
STAYERS = 6
# Faults at once.
LANES = 3
_PATIENCE = 30.0
# Seconds between two looks at memory and files, and two lines of progress.
_LOOK = 5.0
_PROGRESS = 30.0


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

    def __str__(self) -> str:
        lines = [
            f"answers: {_counted(self.seen)}",
            f"faults: {_counted(self.faults)}",
            f"most calls in a window, of {LIMIT}: {_counted(self.windows)}",
            f"violations: {len(self.wrong)}",
        ]
        if self.memory:
            files = f"open files {self.files[0]} to {self.files[-1]}"
            lines.append(f"memory grew by {self.growth:.1%}, {files}, at most {max(self.files)}")
        return "\n".join(lines)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


async def soak(
    folder: Path,
    seconds: float,
    seed: int,
    tell: Callable[[str], None] = lambda _: None,
    names: Sequence[str] = tuple(FAULTS),
    *,
    judges_budget: bool = True,
) -> Outcome:
    """Run it; the same seed brings the same faults in the same order. Calls beyond the limit are
    told in any case, and are violations where the budget is judged."""
    async with world(folder) as ours:
        outcome = Outcome(ours.truth.wrong, ours.truth.seen, Counter(), {})
        planned, ends = plan(seed, names), time.monotonic() + seconds
        others = [_sample(ours, outcome), _report(outcome, tell)]
        async with _under_way([*_traffic(ours, seed), *others]), asyncio.TaskGroup() as lanes:
            for _ in range(LANES):
                lanes.create_task(_fault_on(ours, planned, outcome.faults, ends))
        outcome.windows = dict((await ours.upstream.stats()).fullest_window_asked)
        if judges_budget:
            _judge_budget(outcome)
        _judge_logs(ours, outcome)
        return outcome


def _traffic(ours: World, seed: int) -> Iterator[Coroutine[None, None, None]]:
    """All who want something of the gateways."""
    for number in range(READERS):
        yield read_on(ours, number, Random(f"{seed}-{number}"))
    for number in range(READERS, READERS + STAYERS):
        yield stay_on(ours, number, Random(f"{seed}-{number}"))
    yield _edit_on(ours, Random(f"{seed}-edits"))
    yield _order_on(ours, Random(f"{seed}-orders"))


@asynccontextmanager
async def _under_way(work: Iterable[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """It goes on for as long as the block lasts; what ends by itself raises at the end."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def _fault_on(
    ours: World, planned: Iterator[Planned], faults: Counter[str], ends: float
) -> None:
    while time.monotonic() < ends:
        name, rest, chance = next(planned)
        await asyncio.sleep(rest)
        await FAULTS[name](ours, chance)
        faults[name] += 1


async def _edit_on(ours: World, chance: Random) -> None:
    while True:
        await asyncio.sleep(chance.random())
        await ours.edit(chance.choice(ORGANISATIONS), chance.choice(IDS))


async def _order_on(ours: World, chance: Random) -> None:
    """Invalidate through any replica, often what was edited just now."""
    while True:
        await asyncio.sleep(chance.uniform(0.3, 2.0))
        training_id = chance.choice(IDS)
        if chance.random() < 0.7:
            await ours.edit(chance.choice(ORGANISATIONS), training_id)
        await _order(ours, chance.choice(ours.replicas), training_id)


async def _order(ours: World, replica: Replica, training_id: str) -> None:
    """What all confirmed is never answered again; what some did not, not from `until` on."""
    name, was_up, truth = replica.name, replica.is_up, ours.truth
    trainings = [(organisation, training_id) for organisation in ORGANISATIONS]
    versions = {training: truth.latest(training) for training in trainings}
    asked_at = time.monotonic()
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as client:
            answer = await client.post(
                f"{replica.gateway.admin}/invalidate", json={"ids": [training_id]}
            )
    except httpx.TransportError as error:
        truth.seen["orders unanswered"] += 1
        if was_up and replica.is_up and replica.name == name:
            truth.wrong.append(f"{name} is up and answered no order: {error!r}")
        return
    truth.seen[f"orders {answer.status_code}"] += 1
    if answer.status_code not in {200, 202, 503}:
        truth.wrong.append(f"{name}: {answer.status_code} to an order: {answer.text[:200]}")
    if answer.status_code in {200, 202}:
        since = time.monotonic() + _left_until(answer)
        is_confirmed = answer.status_code == httpx.codes.OK
        for training, number in versions.items():
            truth.rule_out(training, number, since, asked_at=None if is_confirmed else asked_at)


def _left_until(answer: httpx.Response) -> float:
    """Seconds until what an order ruled out may not be answered any more; 0.0 for at once."""
    if answer.status_code == httpx.codes.OK:
        return 0.0
    return datetime.fromisoformat(answer.json()["until"]).timestamp() - time.time()


async def _sample(ours: World, outcome: Outcome) -> None:
    pid = ours.replicas[0].gateway.process.pid
    while True:
        await asyncio.sleep(_LOOK)
        outcome.memory.append(memory_of(pid))
        outcome.files.append(len(os.listdir(f"/proc/{pid}/fd")))


async def _report(outcome: Outcome, tell: Callable[[str], None]) -> None:
    began, told = time.monotonic(), 0
    while True:
        await asyncio.sleep(_PROGRESS)
        for wrong in outcome.wrong[told : told + 5]:
            tell(f"  wrong: {wrong}")
        told = len(outcome.wrong)
        tell(
            f"{time.monotonic() - began:6.0f} s: "
            f"{sum(outcome.seen[each] for each in ('2xx', '5xx'))} answers, "
            f"{outcome.seen['5xx']} of them 5xx, {outcome.faults.total()} faults, "
            f"{told} violations, {outcome.memory[-1] >> 20 if outcome.memory else 0} MiB"
        )


def _judge_budget(outcome: Outcome) -> None:
    outcome.wrong += [
        f"{token}: {calls} calls in a window, {LIMIT} are allowed"
        for token, calls in outcome.windows.items()
        if calls > LIMIT
    ]


def _judge_logs(ours: World, outcome: Outcome) -> None:
    outcome.wrong += [
        f"{each.gateway.admin} logged a traceback"
        for each in ours.replicas
        if "Traceback" in each.log.output
    ]
