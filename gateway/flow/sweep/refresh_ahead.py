"""Single calls ahead of readers, where no list can be read: what is read and stale, worst first.

Lives here: which one is next, and how often one may go. A reader who asks meanwhile joins the
same fetch; what a fetch brings is stored as ever. What may be spent is the budget's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cachetools import FIFOCache

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.cache.policy import Plan, Rules
from gateway.core.errors import AccessRefused, CallWithheld, ShuttingDown, UpstreamFailure
from gateway.core.sweep.refresh_priority import expected_staleness
from gateway.flow.answer import Ask
from gateway.flow.request.handler import Serving
from gateway.ports import Clock, Held, LocalStore

# Seconds between two looks where nothing is due.
_LOOK_EVERY: Final = 1.0
# Longest pause (seconds) where there is no call to be had.
_PATIENCE: Final = 5.0
# Those that were asked for last; one that is left out is refreshed by its next reader.
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
        self._fetched: FIFOCache[Key, Ask] = FIFOCache(_MOST)

    def heed(self, ask: Ask) -> None:
        """It was fetched for somebody: if it is read from now on, it may be refreshed for them.
        What only some requests choose is left to those."""
        if ask.extra or not self._is_for(ask.caller):
            return
        self._fetched[ask.key] = ask

    def looks_after(self, key: Key) -> bool:
        """Whether it will be refreshed when it is stale: it was read since it was confirmed."""
        ask, held = self._fetched.get(key), self._local.peek(key)
        return ask is not None and held is not None and self._wants(ask, held)

    def _wants(self, ask: Ask, held: Held) -> bool:
        return held.reads_since > 0 and self._is_for(ask.caller)

    def place(self, key: Key) -> tuple[int, int] | None:
        """Its place among those that are read and stale, the worst first, and how many they are;
        None where it is none of them."""
        due = self._due()
        own = due.get(key)
        return None if own is None else (1 + sum(each > own for each in due.values()), len(due))

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
            waits = await self._refresh(ask)
        except CallWithheld as withheld:
            return min(max(withheld.retry_after, self._gap(ask.caller)), _PATIENCE)
        except (UpstreamFailure, AccessRefused, ShuttingDown):
            waits = False  # told where it failed
        gap = self._gap(ask.caller)
        return max(gap, _LOOK_EVERY) if waits else gap

    def _next(self) -> Ask | None:
        """The one with the highest expected staleness; those that nobody can have unasked any
        more are forgotten, and the credential that they were asked with."""
        now = self._clock.now()
        for key in list(self._fetched):
            held = self._local.peek(key)
            plan = None if held is None else self._rules.plan(held.entry, now)
            if plan not in (Plan.SERVE, Plan.SERVE_AND_REFRESH):
                del self._fetched[key]
        due = self._due()
        return self._fetched[max(due, key=lambda key: due[key])] if due else None

    def _due(self) -> dict[Key, float]:
        """What each is worth that was read and is stale, unless the upstream just failed for it."""
        now, due = self._clock.now(), {}
        for key, ask in self._fetched.items():
            held = self._local.peek(key)
            if held is None or not self._wants(ask, held):
                continue
            plan = self._rules.plan(held.entry, now)
            if plan is Plan.SERVE_AND_REFRESH and not self._serving.has_failed(key):
                due[key] = expected_staleness(held.entry, held.reads_since, now)
        return due

    async def _refresh(self, ask: Ask) -> bool:
        """As its next reader would, unless another replica did; whether it waits for a call."""
        seen = await self._serving.look_up(ask.key)
        if seen is None:
            return False
        plan = self._rules.plan(seen.held.entry, self._clock.now(), below_floor=seen.below_floor)
        if plan is Plan.SERVE:
            return False
        flight = self._serving.fills.under_way(ask.key) or self._serving.refresh(ask, seen)
        if flight is not None:
            await flight.join()
        return flight is None
