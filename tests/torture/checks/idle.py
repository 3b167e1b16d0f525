"""An upstream that gives up idle connections, perhaps just as a request is sent on one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.simulator.faults import FaultMode
from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

COUNT = 300
CALLERS = 3
IDLE = 0.003
IDS = [f"trn_{number:06d}" for number in range(1, COUNT + 1)]


async def _closing(stand: Stand) -> list[Finding]:
    await stand.upstream.fault(FaultMode.HANG_UP, delay=IDLE)
    shares = [IDS[number::CALLERS] for number in range(CALLERS)]
    served = sum(await asyncio.gather(*(_read(stand, each) for each in shares)))
    calls = await stand.calls()
    return [
        Finding(
            f"the upstream closes a connection {IDLE * 1000:g} ms after its answer, "
            f"{COUNT} cold ids: all are answered",
            served == COUNT,
            f"{served} of {COUNT}, {calls} calls",
        )
    ]


async def _read(stand: Stand, ids: Sequence[str]) -> int:
    """One after the other, most a little before or after the connection ends; how many came."""
    served = 0
    for number, training_id in enumerate(ids):
        served += (await stand.get(training_id)).status == 200
        await asyncio.sleep(number % 7 / 1000)
    return served


CLOSING = (
    "fault hang-up",
    f"see alice-token $(seq -f trn_%06.0f {COUNT}) | cut -d, -f1 | sort | uniq -c; asked",
)
WHY = "a request on a connection that the upstream gives up fails, though nothing came back"
CHECKS = (Check("idle: closed as we send", WHY, CLOSING, Setting(), _closing),)
