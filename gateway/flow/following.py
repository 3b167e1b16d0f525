"""Single calls that nobody waits for: what the list found outdated or missing, most wanted first.

Lives here: which of them is next, and how many are under way. A caller who asks meanwhile joins
the same fetch; what a fetch brings is stored as ever.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from gateway.core.errors import AccessRefused, CallWithheld, ShuttingDown, UpstreamFailure
from gateway.core.policy import Plan
from gateway.core.rules import Rules
from gateway.core.status import Purpose
from gateway.flow.answer import Ask
from gateway.flow.collapsing import Landed
from gateway.flow.serve import Serving
from gateway.ports import Clock, LocalStore

# Under way at once, and how many wait; who is left out is found again by the next sweep.
_WORKERS: Final = 4
_MOST: Final = 2_000
# Longest pause (seconds) where the budget has none left.
_PATIENCE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Errand:
    """One training to fetch, and whom to tell what came: None, where nothing did."""

    ask: Ask
    purpose: Purpose
    then: Callable[[Landed | None], None]

    @property
    def refresh(self) -> bool:
        """Whether somebody else's fetch would do as well."""
        return self.purpose is Purpose.REFRESH


class Following:
    """Runs errands under what the budget leaves."""

    def __init__(self, serving: Serving, local: LocalStore, clock: Clock, rules: Rules) -> None:
        self._serving = serving
        self._local = local
        self._clock = clock
        self._rules = rules
        self._errands: dict[Ask, Errand] = {}
        self._any = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many are not under way yet."""
        return len(self._errands)

    def send(self, errand: Errand) -> None:
        """Run it when its turn comes; two for the same training are one fetch."""
        before = self._errands.get(errand.ask)
        if before is not None:
            errand = replace(errand, then=_both(before.then, errand.then))
        elif len(self._errands) >= _MOST:
            errand.then(None)
            return
        self._errands[errand.ask] = errand
        self._any.set()

    async def run(self) -> None:
        """Run errands until cancelled by the owner."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(_WORKERS):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            await self._any.wait()
            errand = self._next()
            if errand is not None:
                await self._clock.sleep(await self._run(errand))

    def _next(self) -> Errand | None:
        """The most wanted of them: the one that callers of this replica read most."""
        if not self._errands:
            self._any.clear()
            return None
        (ask,) = heapq.nlargest(1, self._errands, key=self._reads)
        return self._errands.pop(ask)

    def _reads(self, ask: Ask) -> int:
        held = self._local.peek(ask.key)
        return 0 if held is None else held.reads

    async def _run(self, errand: Errand) -> float:
        """Seconds to wait before the next one."""
        try:
            landed = await self._fetch(errand)
        except CallWithheld as withheld:
            self.send(errand)
            return min(withheld.retry_after, _PATIENCE)
        except (UpstreamFailure, AccessRefused, ShuttingDown):
            landed = None  # told where it failed; the next sweep finds it again
        errand.then(landed)
        return 0.0

    async def _fetch(self, errand: Errand) -> Landed | None:
        """What came; None where it failed a moment ago, or is not due any more."""
        ask, serving = errand.ask, self._serving
        if serving.standing(ask.key) is not None:
            return None
        seen = await serving.look_up(ask.key)
        if seen is not None and errand.refresh:
            now = self._clock.now()
            if self._rules.plan(seen.held.entry, now, below_floor=seen.below_floor) is Plan.SERVE:
                return None
        flight = serving.fills.under_way(ask.key)
        return await (flight or serving.start(ask, seen, errand.purpose)).join()


def _both(
    one: Callable[[Landed | None], None], other: Callable[[Landed | None], None]
) -> Callable[[Landed | None], None]:
    def tell(landed: Landed | None) -> None:
        one(landed)
        other(landed)

    return tell
