"""Single calls ahead of readers, where no list can be read: what is read and stale, worst first.

Lives here: which one is next, and how often one may go. A reader who asks meanwhile joins the
same fetch; what a fetch brings is stored as ever. What may be spent is the budget's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core.access import Caller
from gateway.core.entry import Key
from gateway.core.errors import AccessRefused, CallWithheld, ShuttingDown, UpstreamFailure
from gateway.core.policy import Plan
from gateway.core.rules import Rules
from gateway.core.status import Outcome, Purpose
from gateway.core.wanted import expected_staleness
from gateway.flow.answer import Ask
from gateway.flow.serve import Serving
from gateway.ports import Clock, LocalStore

# Seconds between two looks where nothing is due.
_LOOK_EVERY: Final = 1.0
# Longest pause (seconds) where there is no call to be had.
_PATIENCE: Final = 5.0
# Those that were asked for last; who is left out is refreshed by its next reader.
_MOST: Final = 1_000


class Ahead:
    """Refreshes for the readers of this replica, one at a time.

    `is_for` tells whether a caller's trainings are on no list that we can read, `gap` how many
    seconds to leave between two calls for it.
    """

    def __init__(
        self,
        serving: Serving,
        local: LocalStore,
        clock: Clock,
        rules: Rules,
        *,
        is_for: Callable[[Caller], bool],
        gap: Callable[[Caller], float],
    ) -> None:
        self._serving = serving
        self._local = local
        self._clock = clock
        self._rules = rules
        self._is_for = is_for
        self._gap = gap
        self._fetched: dict[Key, Ask] = {}

    def heed(self, ask: Ask) -> None:
        """It was fetched for somebody: if it is read from now on, it may be refreshed for them.
        What only some requests choose is left to those."""
        if ask.extra or not self._is_for(ask.caller):
            return
        self._fetched.pop(ask.key, None)
        self._fetched[ask.key] = ask
        if len(self._fetched) > _MOST:
            del self._fetched[next(iter(self._fetched))]

    async def run(self) -> None:
        """Refresh until cancelled by the owner."""
        while True:
            await self._clock.sleep(await self._step())

    async def _step(self) -> float:
        """Refresh the one that is next; seconds until the next look."""
        ask = self._next()
        if ask is None:
            return _LOOK_EVERY
        try:
            await self._refresh(ask)
        except CallWithheld as withheld:
            return min(max(withheld.retry_after, self._gap(ask.caller)), _PATIENCE)
        except (UpstreamFailure, AccessRefused, ShuttingDown):
            pass  # told where it failed
        return self._gap(ask.caller)

    def _next(self) -> Ask | None:
        """The one with the highest expected staleness; those that nobody can have unasked any
        more are forgotten, and the credential that they were asked with."""
        now, best, most = self._clock.now(), None, 0.0
        for key, ask in list(self._fetched.items()):
            held = self._local.peek(key)
            plan = None if held is None else self._rules.plan(held.entry, now)
            if held is None or plan not in (Plan.SERVE, Plan.SERVE_AND_REFRESH):
                del self._fetched[key]
            elif plan is Plan.SERVE_AND_REFRESH and self._may_go(ask):
                worth = expected_staleness(held.entry, held.reads_since, now)
                best, most = (ask, worth) if worth > most else (best, most)
        return best

    def _may_go(self, ask: Ask) -> bool:
        """Whether the upstream did not just fail for it; that there was no call to be had for it
        is what we are here for."""
        failure = self._serving.standing(ask.key)
        has_failed = failure is not None and failure.outcome is not Outcome.STALE_SHIELDED
        return not has_failed and self._is_for(ask.caller)

    async def _refresh(self, ask: Ask) -> None:
        """As its next reader would, unless another replica did."""
        seen = await self._serving.look_up(ask.key)
        if seen is None:
            return
        plan = self._rules.plan(seen.held.entry, self._clock.now(), below_floor=seen.below_floor)
        if plan is not Plan.SERVE:
            flight = self._serving.fills.under_way(ask.key)
            await (flight or self._serving.start(ask, seen, Purpose.REFRESH)).join()
