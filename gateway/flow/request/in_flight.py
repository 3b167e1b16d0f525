"""Look-ups and fetches under way, one of each for a key, and what each leaves behind.

Lives here: which request joins which, and what a failure means for the next ones. Whether what is
stored may be the answer is handler's business.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.cache.entry import Key
from gateway.core.errors import AccessRefused, BackedOff, CallWithheld
from gateway.core.vocabulary import Outcome, Part, Purpose
from gateway.flow.answer import Ask
from gateway.flow.cache.tiers import Seen, Tiers
from gateway.flow.fill.background_limit import Background
from gateway.flow.fill.backoff import Failure, is_news
from gateway.flow.fill.collapse import Collapsing, Elsewhere, Landed
from gateway.flow.fill.fetch_result import Passed, Want, failing
from gateway.flow.request import results
from gateway.flow.singleflight import Flight, Flights
from gateway.ports import NEVER, Clock, Observer


class UnderWay:
    """The flights of this replica."""

    def __init__(
        self,
        tiers: Tiers,
        filler: Collapsing,
        clock: Clock,
        observer: Observer,
        background: Background,
    ) -> None:
        self._tiers = tiers
        self._filler = filler
        self._clock = clock
        self._observer = observer
        self.background = background
        self._backoffs = filler.backoffs
        self.lookups: Flights[Key, Seen | None] = Flights(clock)
        self.fills: Flights[Key, Landed] = Flights(clock)
        self.heed: Callable[[Ask], None] = lambda _: None  # who wants to know what is fetched
        # Whether a refresh waits for its turn: since others do or are under way, or since there was
        # no call for it; and whether there is no call for those that wait.
        self.waits: Callable[[Ask], bool] = lambda _: False
        self.put_off: Callable[[Ask], bool] = lambda _: False
        self.is_short: Callable[[Ask], bool] = lambda _: True

    def looking_up(self, key: Key) -> Flight[Seen | None]:
        """Both tiers asked once for all who ask in the meantime."""
        return self.lookups.under_way(key) or self._begin_look_up(key)

    def _begin_look_up(self, key: Key) -> Flight[Seen | None]:
        """Without a task of its own, where one question is all of it."""
        tiers, asked_at = self._tiers, self._clock.monotonic()
        answer = tiers.question(key)
        if answer is None:
            return self.lookups.start(key, lambda flight: tiers.lookup(key, flight))
        return self.lookups.start_behind(
            key, answer, Part.LOOKUP, lambda flight: tiers.answered(key, flight, asked_at, answer)
        )

    async def look_up(self, key: Key) -> Seen | None:
        """What they hold."""
        return await self.looking_up(key).join()

    def refresh(self, ask: Ask, seen: Seen) -> Flight[Landed] | None:
        """Fetch it for its next readers; None where it waits for its turn among others. Nothing
        must be under way."""
        if self.waits(ask):
            return None
        self.background.begin()
        flight = self.start(ask, seen, Purpose.REFRESH)
        flight.when_ended(self.background.end)
        return flight

    def start(
        self, ask: Ask, seen: Seen | None, purpose: Purpose, *, alone: bool = False
    ) -> Flight[Landed]:
        """Fetch it, for this one alone or for whoever asks; nothing must be under way."""
        self.heed(ask)
        held = seen.held if seen else None
        want = Want(ask.key, ask.caller, purpose, held, ask.extra, alone=alone)
        flight = self.fills.start(ask.key, lambda flight: self._fill(want, flight))
        flight.is_unhurried = purpose is Purpose.REFRESH
        return flight

    async def _fill(self, want: Want, flight: Flight[Landed]) -> Landed:
        try:
            filled = await self._filler.fill(want, flight)
        except Exception as error:
            self._failed(want, error)
            raise
        if not isinstance(filled, Elsewhere):
            self._observer.fetched(want.key, want.purpose, *results.came_of(filled))
        outdate = self.lookups.forget if results.drops_stored(filled) else self.lookups.retire
        outdate(want.key)
        if isinstance(filled, Passed) and filled.reply.status == 401:
            self.forget(lambda key: key.partition == want.key.partition)
        vain = None if isinstance(filled, Elsewhere) else failing(want, filled)
        if vain is None:
            self._backoffs.succeeded(want.key)
        else:
            self._failed(want, vain)
        return filled

    def _failed(self, want: Want, error: Exception) -> None:
        held = self._tiers.held(want.key)
        if held is not None:
            held.until = NEVER  # what is said of it is another thing now
        if isinstance(error, AccessRefused):
            return  # no call was made, and nothing may stand in for it
        if isinstance(error, BackedOff):
            self._backoffs.heard(want.key, error)  # told by who failed
            return
        why = str(error) or repr(error)
        self._observer.fetch_failed(want.key, want.purpose, why)
        if self._is_put_off(want, error):
            return
        again_in = self._backoffs.failed(want.key, error)
        if want.purpose is Purpose.REFRESH and is_news(error):
            self._observer.refresh_failed(want.key, why, again_in)

    def _is_put_off(self, want: Want, error: Exception) -> bool:
        is_denied = want.purpose is Purpose.REFRESH and isinstance(error, CallWithheld)
        return is_denied and self.put_off(Ask(want.key, want.caller, extra=want.extra))

    def forget(self, matches: Callable[[Key], bool], *, known: bool = False) -> None:
        """Let no fetch under way for such a key be held here or joined; nor be kept by Redis,
        unless that knows the order too (`known`)."""
        self.lookups.forget_where(matches)
        self.fills.forget_where(matches, known=known)

    def standing(self, key: Key) -> Failure | None:
        """The failure for which the key is left alone now."""
        return self._backoffs.standing(key)

    def has_failed(self, key: Key) -> bool:
        """Whether the upstream failed for it just now; that there was no call does not count."""
        failure = self.standing(key)
        return failure is not None and failure.outcome is not Outcome.STALE_SHIELDED

    def retire(self) -> None:
        """Requests from now on do not wait for what is under way."""
        self.lookups.retire()
        self.fills.retire()

    async def land(self, patience: float) -> None:
        """Let what is under way end, so many seconds at most."""
        await self.fills.land(patience)
        await self.lookups.land(patience)
