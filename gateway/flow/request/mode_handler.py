"""Answers requests in the modes that an operator can order instead of `normal`."""

from __future__ import annotations

from gateway.core.cache.policy import Plan, Rules
from gateway.core.errors import Frozen, OnlyIfCached
from gateway.core.http.cache_status import Handling
from gateway.core.vocabulary import Detail, Forward, Mode, NotStoredReason, Outcome, Purpose, Tier
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.fill.collapse import Collapsing
from gateway.flow.fill.fetch import Filled, Passed, Want
from gateway.flow.mode import NORMAL, THAW, Modes
from gateway.flow.request.response_selection import Serving, detail_of, from_store
from gateway.flow.singleflight import Flights
from gateway.ports import Clock


class Unusual:
    """Answers requests in the modes `frozen` and `bypass`. The callers' directives are ignored, but
    `bypass` refuses a request with `only-if-cached`."""

    def __init__(
        self, serving: Serving, filler: Collapsing, clock: Clock, rules: Rules, modes: Modes
    ) -> None:
        self._serving = serving
        self._filler = filler
        self._clock = clock
        self._rules = rules
        self.modes = modes
        self._flights: Flights[object, Filled | Passed] = Flights(clock)

    @property
    def is_ordered(self) -> bool:
        """Whether the mode is not `normal`."""
        return self.modes.current is not NORMAL

    async def get(self, ask: Ask) -> Answer:
        """The answer in the current mode. Raises an error if nothing can be served."""
        if self.modes.current is Mode.FROZEN:
            return self._frozen(await self._serving.seen(ask))
        return await self._bypass(ask)

    def _frozen(self, seen: Seen | None) -> Answer:
        now = self._clock.now()
        if seen is not None:
            planned = self._rules.plan(seen.held.entry, now, below_floor=seen.below_floor)
            if planned is Plan.SERVE and seen.held.entry.is_negative:
                return from_store(seen, Outcome.NEGATIVE, Detail.NEGATIVE)
            if planned is Plan.SERVE:
                return from_store(seen, Outcome.FRESH, detail_of(seen.tier))
            if self._rules.may_rescue(seen.held.entry, now):
                return from_store(seen, Outcome.STALE_SHIELDED, Detail.FROZEN)
        raise Frozen("nothing usable is stored, and nothing may be fetched", retry_after=THAW)

    async def _bypass(self, ask: Ask) -> Answer:
        """The answer to a call that is made for this request alone."""
        if ask.only_if_cached:
            raise OnlyIfCached
        want = Want(ask.key, ask.caller, Purpose.MISS, extra=ask.extra, bypass=True)
        flight = self._flights.start(object(), lambda flight: self._filler.bypass(want, flight))
        return _bypassed(await flight.join())

    async def land(self, patience: float) -> None:
        """As Flights.land."""
        await self._flights.land(patience)


def _bypassed(landed: Filled | Passed) -> Answer:
    if isinstance(landed, Passed):
        handling = Handling(None, Forward.BYPASS, landed.reply.status)
        return Answer(landed.reply, Outcome.BYPASSED, Tier.UPSTREAM, handling)
    not_stored = NotStoredReason.BYPASS
    handling = Handling(None, Forward.BYPASS, landed.forward_status, not_stored=not_stored)
    return Answer(landed.held, Outcome.BYPASSED, Tier.UPSTREAM, handling)
