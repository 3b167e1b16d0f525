"""An older version after a newer one, as from a replica of the upstream that lags."""

from __future__ import annotations

import asyncio

from gateway.simulator.faults import FaultMode
from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

ONE = "trn_000001"


async def _older(stand: Stand) -> list[Finding]:
    edited = await stand.upstream.edit(ONE)
    await stand.get(ONE)
    await asyncio.sleep(stand.setting.lifetime + 0.5)
    await stand.upstream.fault(FaultMode.REGRESS, ids=[ONE])
    older = 0
    for _ in range(8):
        answer = await stand.get(ONE)
        older += answer.training.get("updated_at") != edited["updated_at"]
        await asyncio.sleep(0.3)
    return [
        Finding(
            "an older version is not served after a newer one", older == 0, f"{older} of 8 older"
        )
    ]


CHECKS = (
    Check(
        "versions: older",
        "whatever came last is taken for what is latest",
        (
            "edit trn_000001; see alice-token trn_000001",
            "fault regress; sleep 2",
            "for i in $(seq 8); do see alice-token trn_000001; sleep 0.3; done",
        ),
        Setting(lifetime=1),
        _older,
    ),
)
