"""The look-ups and fetches that are under way, at most one of each for a key that can be joined."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.cache.entry import Key
from gateway.core.cache.policy import Plan
from gateway.core.vocabulary import Tier
from gateway.flow.cache.tiers import Seen, Tiers
from gateway.flow.fill.collapse import Elsewhere, Landed
from gateway.flow.singleflight import Flight, Flights
from gateway.ports import Held


class UnderWay:
    """The look-ups and fetches of this replica."""

    def __init__(self, tiers: Tiers) -> None:
        self._tiers = tiers
        self.lookups: Flights[Key, Seen | None] = Flights(tiers.clock)
        self.fills: Flights[Key, Landed] = Flights(tiers.clock)

    async def look_up(self, key: Key) -> Seen | None:
        """The entry that a look-up finds in L1 or L2, or None."""
        return await self.looking_up(key).join()

    def looking_up(self, key: Key) -> Flight[Seen | None]:
        """The look-up that is under way, or a new one."""
        return self.lookups.under_way(key) or self.lookups.start(
            key, lambda flight: self._tiers.lookup(key, flight)
        )

    def bring(self, key: Key, held: Held | None = None) -> None:
        """Answer the requests that wait for a fetch of this key, because a response was stored
        meanwhile: `held`, or None if another replica has stored it. If the fetch has made its call,
        or if the response is stale (its page perhaps waited for looks), they wait for the fetch."""
        flight = self.fills.under_way(key)
        if flight is None or flight.is_paid:
            return
        if held is not None:
            self._bring_found(flight, Seen(held, Tier.L1, only_rescue=False))
            return
        look_up = self.looking_up(key)
        look_up.when_ended(lambda: self._bring_found(flight, look_up.result()))

    def _bring_found(self, flight: Flight[Landed], seen: Seen | None) -> None:
        if seen is None or flight.is_paid or not flight.is_current:
            return
        now, rules = self._tiers.clock.now(), self._tiers.rules
        if rules.plan(seen.held.entry, now, only_rescue=seen.only_rescue) is Plan.SERVE:
            flight.bring(Elsewhere(seen, awaited=False))

    def forget(self, matches: Callable[[Key], bool], *, known: bool = False) -> None:
        """Let no further request join the look-ups and fetches of matching keys, because their
        results are perhaps outdated. `known`: see `Flights.forget`."""
        self.lookups.forget_where(matches)
        self.fills.forget_where(matches, known=known)

    async def land(self, patience: float) -> None:
        """As Flights.land: first the fetches, then the look-ups."""
        await self.fills.land(patience)
        await self.lookups.land(patience)
