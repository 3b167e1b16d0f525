"""How old an answer can be where the limit is small, as someone sees it who knows the truth."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field

import msgspec

from tests.torture.caller import Answer
from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

IDS = [f"trn_{n:06d}" for n in range(1, 51)]
LIMIT, WINDOW = 20, 10
# Between two calls to the upstream while the cache is filled: within the limit, and in 30 s.
APART = 0.58
# A call for each training takes 25 s of what the limit allows.
OLDEST = 20.0
WARMING = 120.0
WATCHED = 60.0


@dataclass(slots=True)
class Truth:
    """When which version of a training was replaced, and what was seen of the old ones."""

    oldest: float = 0.0
    failed: int = 0
    _replaced: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    _latest: dict[str, str] = field(default_factory=dict)

    def publish(self, training_id: str, updated_at: str, at: float) -> None:
        """This version is surely in force since `at` (monotonic)."""
        if training_id in self._latest:
            self._replaced[training_id][self._latest[training_id]] = at
        self._latest[training_id] = updated_at

    def judge(self, training_id: str, answer: Answer, asked_at: float) -> None:
        """An answer is as old as the first edit that it lacks was when it was asked for."""
        self.failed += not answer.training
        version = str(answer.training.get("updated_at"))
        since = self._replaced[training_id].get(version, asked_at)
        self.oldest = max(self.oldest, asked_at - since)


async def _bounded(stand: Stand) -> list[Finding]:
    await _fill(stand)
    stated, truth = await stand.bound(WARMING), Truth()
    await stand.upstream.reset_stats()
    editing = asyncio.create_task(_edit(stand, truth))
    await _read(stand, truth)
    await editing
    stats = await stand.upstream.stats()
    return [
        Finding(
            f"50 of 1,000 ids read and edited at random, {LIMIT} calls in {WINDOW} s allowed, "
            f"lifetime {stand.setting.lifetime} s: no call answered 429, nobody fails",
            stats.rate_limited == 0 and truth.failed == 0,
            f"{stats.rate_limited} of {stats.requests} calls, {truth.failed} failed",
        ),
        Finding(
            f"  no answer without an edit of more than {OLDEST:.0f} s ago",
            truth.oldest <= OLDEST,
            f"{truth.oldest:.1f} s",
        ),
        Finding(
            "  nor of longer ago than the target itself states",
            None if stated is None else truth.oldest <= stated,
            "states nothing" if stated is None else f"states {stated:.1f} s",
        ),
    ]


async def _fill(stand: Stand) -> None:
    """Slowly enough for the limit, and again what was refused."""
    missing = IDS
    for _ in range(3):
        missing = [each for each in missing if not await _is_answered(stand, each)]


async def _is_answered(stand: Stand, training_id: str) -> bool:
    answer = await stand.get(training_id)
    await asyncio.sleep(APART)
    return bool(answer.training)


async def _edit(stand: Stand, truth: Truth) -> None:
    """Each second one of them."""
    chance = random.Random(11)
    for training_id in IDS:
        document = msgspec.json.decode(
            await stand.upstream.body(training_id), type=dict[str, object]
        )
        truth.publish(training_id, str(document["updated_at"]), time.monotonic())
    for _ in range(int(WATCHED)):
        training_id = chance.choice(IDS)
        document = await stand.upstream.edit(training_id)
        truth.publish(training_id, str(document["updated_at"]), time.monotonic())
        await asyncio.sleep(1.0)


async def _read(stand: Stand, truth: Truth) -> None:
    """Each of them once a second, evenly."""

    async def one(training_id: str) -> None:
        asked_at = time.monotonic()
        truth.judge(training_id, await stand.get(training_id), asked_at)

    began, step = time.monotonic(), 1.0 / len(IDS)
    async with asyncio.TaskGroup() as group:
        for number in range(int(WATCHED / step)):
            await asyncio.sleep(began + number * step - time.monotonic())
            group.create_task(one(IDS[number % len(IDS)]))


BY_HAND = (
    "ids=$(seq -f trn_%06g 50)",
    "for id in $ids; do see alice-token $id; sleep 0.55; done; until stated; do sleep 1; done",
    "order reset-stats ''; for i in $(seq 60); do edit $(printf trn_%06d $((RANDOM % 50 + 1))); "
    "see alice-token $ids; sleep 1; done >/dev/null &",
    "for i in $(seq 12); do sleep 5; behind $ids; done; wait; asked",
)
WHY = "a lifetime that the limit cannot pay for, or one that is long: the sweep pays for neither"


def _check(lifetime: int) -> Check:
    setting = Setting(lifetime=lifetime, limit=LIMIT, window=WINDOW, ahead=True)
    name = f"freshness: lifetime {lifetime} s"
    return Check(name, WHY, BY_HAND, setting, _bounded, is_long=True)


CHECKS = (_check(5), _check(30))
