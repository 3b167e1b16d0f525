"""An upstream that says 429, and a limit that several nodes share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from gateway.simulator.faults import FaultMode
from tests.torture.caller import Answer
from tests.torture.check import Check, Finding
from tests.torture.stand import ALICE, BOB, Setting, Stand

STALE = [f"trn_{n:06d}" for n in range(1, 21)]
COLD = [f"trn_{n:06d}" for n in range(101, 106)]
TOLD = 60.0
REQUESTS = 1_000
SECONDS = 5.0


async def _storm(stand: Stand) -> list[Finding]:
    for training_id in STALE:
        await stand.get(training_id)
    await asyncio.sleep(stand.setting.lifetime + 0.5)
    await stand.upstream.fault(FaultMode.RATE_LIMITED, delay=TOLD)
    await stand.upstream.reset_stats()
    storm = asyncio.create_task(_evenly(stand, STALE, REQUESTS, SECONDS))
    await asyncio.sleep(SECONDS / 4)
    first = await stand.calls()
    answers = await storm
    calls = await stand.calls()
    others = [answer for answer in answers if answer.status != 200]
    return [
        Finding(
            "20 stale ids, 1,000 requests in 5 s, each call answered 429: none after the first",
            calls == first,
            f"{calls} calls",
        ),
        Finding(
            "  meanwhile all are answered from what is stored",
            not others,
            f"{REQUESTS - len(others)} of {REQUESTS}{_besides(others)}",
        ),
    ]


async def _cold(stand: Stand) -> list[Finding]:
    await stand.upstream.latency(0.1)
    await stand.upstream.fault(FaultMode.RATE_LIMITED, delay=TOLD)
    answers = await _evenly(stand, COLD, 100, 2.0)
    calls = await stand.calls()
    told = [answer.retry_after for answer in answers]
    others = [answer for answer in answers if (answer.retry_after or 0.0) < TOLD / 2]
    return [
        Finding(
            "5 cold ids in the same storm: at most a call each",
            calls <= len(COLD),
            f"{calls} calls",
        ),
        Finding(
            "  callers are told to wait as long as the API asked (60 s)",
            not others,
            f"{len(answers) - len(others)} of {len(answers)}, first: {told[0]}{_besides(others)}",
        ),
        Finding("  the slowest answer", None, f"{max(a.seconds for a in answers):.1f} s"),
    ]


async def _others(stand: Stand) -> list[Finding]:
    await stand.upstream.fault(FaultMode.RATE_LIMITED, delay=TOLD, ids=COLD[:1])
    for _ in range(3):
        await stand.get(COLD[0], ALICE)
    answers = [await stand.get(training_id, BOB) for training_id in COLD[1:]]
    served = sum(answer.status == 200 for answer in answers)
    return [
        Finding(
            "Alice is over her limit: Bob's cold ids are fetched",
            served == len(answers),
            f"{served} of {len(answers)}",
        )
    ]


async def _shared(stand: Stand) -> list[Finding]:
    ids = [f"trn_{n:06d}" for n in range(1, 221)]
    gathered = await asyncio.gather(*(stand.get(training_id) for training_id in ids))
    stats = await stand.upstream.stats()
    served = sum(answer.status == 200 for answer in gathered)
    return [
        Finding(
            "220 cold ids on two nodes, 100 calls a minute allowed: none answered 429",
            stats.rate_limited == 0,
            f"{stats.rate_limited} answered 429",
        ),
        Finding("  served at once", None, f"{served} of 220"),
    ]


def _besides(others: Iterable[Answer]) -> str:
    """How often each other answer came: its status, its `Retry-After` and its Cache-Status."""
    kinds = Counter(
        f"{each.status} {each.fields.get('retry-after', '')} {each.fields.get('cache-status', '')}"
        for each in others
    )
    return "".join(f"; {count} × {kind}" for kind, count in kinds.items())


async def _evenly(stand: Stand, ids: list[str], count: int, seconds: float) -> list[Answer]:
    """So many requests, evenly over so many seconds, answered or not."""
    asked: list[asyncio.Task[Answer]] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(count):
        await asyncio.sleep(began + number * seconds / count - loop.time())
        asked.append(asyncio.create_task(stand.get(ids[number % len(ids)])))
    return await asyncio.gather(*asked)


TWENTY = "$(seq -f trn_%06g 20)"
BY_HAND_STORM = (
    f"see alice-token {TWENTY}; sleep 3",
    "fault rate-limited '\"delay\": 60'; order reset-stats ''",
    f"storm=$(for i in $(seq 25); do echo {TWENTY}; done)",
    "for half in 1 2; do RATE=200/s see alice-token $storm | cut -d, -f1 | sort | uniq -c; "
    "asked; done",
)
BY_HAND_COLD = (
    "order latency '{\"latency\": 0.1}'",
    "fault rate-limited '\"delay\": 60'",
    "for i in $(seq 20); do see alice-token $(seq -f trn_%06g 101 105) & sleep 0.1; done; wait",
    "asked",
)
BY_HAND_OTHERS = (
    'fault rate-limited \'"delay": 60, "ids": ["trn_000101"]\'',
    "see alice-token trn_000101 trn_000101 trn_000101",
    "see bob-token $(seq -f trn_%06g 102 105)",
)
BY_HAND_SHARED = (
    "(crowd alice-token $(seq -f trn_%06g 1 2 220) & "
    "URL=$URL2 crowd alice-token $(seq -f trn_%06g 2 2 220); wait) | grep '[0-9]/'",
    "asked  # rate_limited: answered 429 by the API",
)
HAMMERING = "the API is hammered just when it says stop, and stays closed for longer"
CHECKS = (
    Check("429: storm", HAMMERING, BY_HAND_STORM, Setting(lifetime=2), _storm),
    Check("429: cold", HAMMERING, BY_HAND_COLD, Setting(), _cold),
    Check(
        "429: others",
        "one tenant's limit is another's outage",
        BY_HAND_OTHERS,
        Setting(),
        _others,
    ),
    Check(
        "limit: two nodes",
        "each node counts for itself, so that two of them spend the limit twice",
        BY_HAND_SHARED,
        Setting(nodes=2, limit=100),
        _shared,
    ),
)
