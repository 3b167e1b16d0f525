"""Three hundred callers at once: cold, stale, on one node and on two."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.torture.caller import Answer
from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

ONE = "trn_000001"
CALL = 0.5
CALLERS = 300


async def _cold(stand: Stand) -> list[Finding]:
    await stand.upstream.latency(CALL)
    crowd = await stand.crowd(ONE, CALLERS)
    slowest = max(answer.seconds for answer in crowd)
    return [
        await _one_call(stand, "300 callers, one cold id", crowd),
        Finding("  the slowest (a call takes 0.5 s)", None, f"{slowest:.2f} s"),
    ]


async def _stale(stand: Stand) -> list[Finding]:
    for _ in stand.nodes:
        await stand.get(ONE)
    edited = await stand.upstream.edit(ONE)
    await asyncio.sleep(stand.setting.lifetime + 0.5)
    await stand.upstream.reset_stats()
    await stand.upstream.latency(CALL)
    crowd = await stand.crowd(ONE, CALLERS)
    await asyncio.sleep(2 * CALL)
    old = sum(answer.training.get("updated_at") != edited["updated_at"] for answer in crowd)
    return [
        await _one_call(stand, "the same, stale and edited", crowd),
        Finding("  given the old version meanwhile", None, f"{old} of 300"),
    ]


async def _one_call(stand: Stand, what: str, crowd: Sequence[Answer]) -> Finding:
    calls = await stand.calls(ONE)
    failed = sum(answer.status != 200 for answer in crowd)
    sentence = f"{what}, nodes: {len(stand.nodes)}: one call, nobody fails"
    return Finding(sentence, calls == 1 and failed == 0, f"{calls} calls, {failed} failed")


async def _idle(stand: Stand) -> list[Finding]:
    await stand.get(ONE)
    edited = await stand.upstream.edit(ONE)
    await asyncio.sleep(12.0)
    answer = await stand.get(ONE)
    is_new = answer.training.get("updated_at") == edited["updated_at"]
    version = "new" if is_new else "old"
    return [
        Finding(
            "edited, then nobody asks for 12 s (lifetime 1 s): the answer is new, or says its age",
            is_new or (answer.age or 0.0) >= 11.0,
            f"{version}, Age: {answer.fields.get('age', 'none')}",
        )
    ]


SLOW = "order latency '{\"latency\": 0.5}'"
EDIT = "edit trn_000001; sleep 2; order reset-stats ''"
CROWD = "time crowd alice-token $(times 300 trn_000001); sleep 1; asked"
CROWDS = (
    "time (crowd alice-token $(times 150 trn_000001) & "
    "URL=$URL2 crowd alice-token $(times 150 trn_000001); wait); sleep 1; asked"
)
READ = "see alice-token trn_000001"
READS = f"{READ}; URL=$URL2 {READ}"
WHY = "each caller, or each node, makes a call of its own: the limit is spent on one training"
CHECKS = (
    Check("stampede: cold", WHY, (SLOW, CROWD), Setting(), _cold),
    Check("stampede: cold, two nodes", WHY, (SLOW, CROWDS), Setting(nodes=2), _cold),
    Check("stampede: stale", WHY, (READ, EDIT, SLOW, CROWD), Setting(lifetime=1), _stale),
    Check(
        "stampede: stale, two nodes",
        WHY,
        (READS, EDIT, SLOW, CROWDS),
        Setting(nodes=2, lifetime=1),
        _stale,
    ),
    Check(
        "age: idle",
        "an old answer looks like a new one to whoever reads it",
        (
            f"{READ}; edit trn_000001; sleep 12",
            READ,
        ),
        Setting(lifetime=1),
        _idle,
        is_long=True,
    ),
)
