"""Refreshes stale responses before their next reader comes, for callers whose trainings are on no
list that the gateway can read. The response with the highest expected staleness goes first.

This module decides which response is next, and how long to wait between two calls. A request that
comes meanwhile joins the same fetch, and the answer is stored as that of any other fetch. Whether a
call may be made, the budget decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cachetools import FIFOCache

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.cache.policy import Plan, Rules
from gateway.core.errors import AccessRefused, CallWithheld, ShuttingDown, UpstreamFailure
from gateway.flow.answer import Ask
from gateway.flow.request.response_selection import Serving
from gateway.flow.sweep.refresh_queue import expected_staleness
from gateway.ports import Clock, Held, LocalStore

# Seconds until the next look if no refresh is due.
_LOOK_EVERY: Final = 1.0
# The longest pause (seconds) if no call may be made.
_PATIENCE: Final = 5.0
# The most requests that are remembered, those of the last fetches. The next reader of any other
# response starts its refresh.
_MOST: Final = 1_000


class Ahead:
    """Refreshes stored responses for the readers of this replica, one at a time.

    `is_for` returns whether a caller's trainings are on no list that the gateway can read. `gap`
    returns the seconds to leave between two calls for that caller.
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
        """Note a request that caused a fetch. If its response is read from now on, it may be
        refreshed with the credential of this request.

        Some responses depend on further request fields (`extra`). They are refreshed only by
        requests that have these fields."""
        if ask.extra or not self._is_for(ask.caller):
            return
        self._fetched[ask.key] = ask

    def looks_after(self, key: Key) -> bool:
        """Whether the response will be refreshed once it is stale, because it was read since it
        was confirmed."""
        ask, held = self._fetched.get(key), self._local.peek(key)
        return ask is not None and held is not None and self._wants(ask, held)

    def _wants(self, ask: Ask, held: Held) -> bool:
        return held.reads_since > 0 and self._is_for(ask.caller)

    def place(self, key: Key) -> tuple[int, int] | None:
        """The place of the key among the refreshes that are due, 1 for the next one, and how many
        are due. None if the key is not due."""
        due = self._due()
        own = due.get(key)
        return None if own is None else (1 + sum(each > own for each in due.values()), len(due))

    async def run(self) -> None:
        """Refresh until cancelled by the owner."""
        while True:
            await self._clock.sleep(await self._step())

    async def _step(self) -> float:
        """Refresh the response that is next. Returns the seconds until the next look."""
        ask = self._next()
        if ask is None:
            return _LOOK_EVERY
        try:
            waits = await self._refresh(ask)
        except CallWithheld as withheld:
            return min(max(withheld.retry_after, self._gap(ask.caller)), _PATIENCE)
        except (UpstreamFailure, AccessRefused, ShuttingDown):
            waits = False  # the failure was logged where it happened
        gap = self._gap(ask.caller)
        return max(gap, _LOOK_EVERY) if waits else gap

    def _next(self) -> Ask | None:
        """The request whose response has the highest expected staleness.

        A response that may not be served any more without asking upstream is not refreshed. Its
        request is forgotten, and the credential of that request with it."""
        now = self._clock.now()
        for key in list(self._fetched):
            held = self._local.peek(key)
            plan = None if held is None else self._rules.plan(held.entry, now)
            if plan not in (Plan.SERVE, Plan.SERVE_AND_REFRESH):
                del self._fetched[key]
        due = self._due()
        return self._fetched[max(due, key=lambda key: due[key])] if due else None

    def _due(self) -> dict[Key, float]:
        """The expected staleness of each stale response that was read, unless its last fetch has
        just failed."""
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
        """Refresh the response as its next reader would, unless another replica has done so.
        Returns whether the refresh waits for a free call."""
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
