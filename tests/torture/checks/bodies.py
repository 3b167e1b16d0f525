"""Broken bodies: are they stored, and do they displace a good one?"""

from __future__ import annotations

import asyncio

from gateway.simulator.faults import FaultMode
from tests.torture.caller import Answer
from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

BROKEN = {
    FaultMode.MALFORMED_JSON: "no JSON, its length consistent",
    FaultMode.CUT_NO_LENGTH: "cut short, no length",
    FaultMode.CUT_BODY: "cut short of its Content-Length",
    FaultMode.WRONG_ID: "another training's id",
    FaultMode.MISSING_UPDATED_AT: "no updated_at",
    FaultMode.HTML_200: "an HTML page with 200",
}


async def _cold(stand: Stand) -> list[Finding]:
    findings = []
    for number, (mode, what) in enumerate(BROKEN.items(), start=1):
        training_id = f"trn_{number:06d}"
        await stand.upstream.fault(mode, ids=[training_id], count=1)
        first = await stand.get(training_id)
        # An error may be remembered for a second; a body of an API that is well again may not.
        await asyncio.sleep(1.5)
        second = await stand.get(training_id)
        figure = f"{_told(first, training_id)}, then {_told(second, training_id)}"
        findings.append(
            Finding(
                f"{what}: neither served as a success nor stored",
                not _is_broken_success(first, training_id) and _is_good(second, training_id),
                figure,
            )
        )
    return findings


async def _displaced(stand: Stand) -> list[Finding]:
    ids = {f"trn_{n:06d}": mode for n, mode in enumerate(BROKEN, start=1)}
    for training_id in ids:
        await stand.get(training_id)
    await asyncio.sleep(stand.setting.lifetime + 0.5)
    for training_id, mode in ids.items():
        await stand.upstream.fault(mode, ids=[training_id])
    good = dict.fromkeys(ids, 0)
    for _ in range(4):
        for training_id in ids:
            good[training_id] += _is_good(await stand.get(training_id), training_id)
        await asyncio.sleep(0.5)
    return [
        Finding(
            f"{BROKEN[mode]}, as the answer to a refresh: the good stale one stays",
            good[training_id] == 4,
            f"{good[training_id]} of 4 good",
        )
        for training_id, mode in ids.items()
    ]


def _is_good(answer: Answer, training_id: str) -> bool:
    return answer.training.get("id") == training_id and "updated_at" in answer.training


def _is_broken_success(answer: Answer, training_id: str) -> bool:
    return answer.status == 200 and not _is_good(answer, training_id)


def _told(answer: Answer, training_id: str) -> str:
    if _is_broken_success(answer, training_id):
        return "200 broken" if answer.is_whole else "200 cut"
    return str(answer.status)


EACH = f"number=0; for mode in {' '.join(BROKEN)}; do id=trn_00000$((number += 1))"
COLD = (
    f'{EACH}; fault $mode "\\"ids\\": [\\"$id\\"], \\"count\\": 1"; echo "$mode"; '
    "body $id; sleep 1.5; body $id; done",
)
REFRESH = (
    f"see alice-token $(seq -f trn_%06g {len(BROKEN)}); sleep 2",
    f'{EACH}; fault $mode "\\"ids\\": [\\"$id\\"]"; echo "$mode"; '
    "for i in 1 2 3 4; do body $id; sleep 0.5; done; done",
)
WHY = "nobody reads the body: one bad answer of the API is repeated to all for a lifetime"
CHECKS = (
    Check("bodies: cold", WHY, COLD, Setting(), _cold),
    Check("bodies: refresh", WHY, REFRESH, Setting(lifetime=1), _displaced),
)
