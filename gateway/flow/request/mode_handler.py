"""Answers requests in the mode `frozen`."""

from __future__ import annotations

from gateway.core.cache.policy import Plan, Rules
from gateway.core.errors import Frozen
from gateway.core.vocabulary import Detail, Outcome
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.mode import NORMAL, THAW, Modes
from gateway.flow.request.response_selection import Serving, detail_of, from_store
from gateway.ports import Clock


class Unusual:
    """Answers requests in the mode `frozen`. The callers' directives are ignored."""

    def __init__(self, serving: Serving, clock: Clock, rules: Rules, modes: Modes) -> None:
        self._serving = serving
        self._clock = clock
        self._rules = rules
        self.modes = modes

    @property
    def is_ordered(self) -> bool:
        """Whether the mode is not `normal`."""
        return self.modes.current is not NORMAL

    async def get(self, ask: Ask) -> Answer:
        """The answer with a stored response. Raises Frozen if none may be served."""
        return self._frozen(await self._serving.seen(ask))

    def _frozen(self, seen: Seen | None) -> Answer:
        now = self._clock.now()
        if seen is not None:
            planned = self._rules.plan(seen.held.entry, now, only_rescue=seen.only_rescue)
            if planned is Plan.SERVE and seen.held.entry.is_negative:
                return from_store(seen, Outcome.NEGATIVE, Detail.NEGATIVE)
            if planned is Plan.SERVE:
                return from_store(seen, Outcome.FRESH, detail_of(seen.tier))
            if self._rules.may_rescue(seen.held.entry, now):
                return from_store(seen, Outcome.STALE_SHIELDED, Detail.FROZEN)
        raise Frozen("nothing usable is stored, and nothing may be fetched", retry_after=THAW)
