"""Checks on targets: several at once where the machine has room, each on a stand of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.torture.check import Check, Finding
from tests.torture.stand import stand
from tests.torture.target import Target


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found about a target."""

    check: Check
    target: Target
    findings: list[Finding]


async def run(
    checks: Sequence[Check],
    target: Target,
    at_once: int = 1,
    tell: Callable[[Verdict], None] = lambda _: None,
) -> list[Verdict]:
    """Each check's verdict, in their order; `tell` hears of each as it ends."""
    room = asyncio.Semaphore(at_once)

    async def one(check: Check) -> Verdict:
        async with room, stand(target, check.setting) as ours:
            verdict = Verdict(check, target, await check.body(ours))
        tell(verdict)
        return verdict

    suited = [each for each in checks if not target.only or each.name in target.only]
    return await asyncio.gather(*map(one, suited))
