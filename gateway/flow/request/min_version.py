"""Fetches the versions that requests need (`Training-Min-Updated-At`), for example after a write.

The header is no proof that the version exists. So the header does not change which versions other
callers may get. If a response is already stored, only a part of the budget pays for the fetches
that the header causes (`CallShare`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cachetools import FIFOCache

from gateway.core.cache.entry import Entry, Key
from gateway.core.errors import (
    BudgetExhausted,
    CallWithheld,
    Frozen,
    VersionNotReached,
)
from gateway.core.http.fields import Reply
from gateway.core.instant import Instant, to_rfc3339
from gateway.core.plan import reaches
from gateway.core.upstream.breaker import backoff
from gateway.core.vocabulary import Purpose
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.fill.collapse import Elsewhere, Landed
from gateway.flow.request.client_directives import CallShare, ChargedCall
from gateway.flow.request.response_selection import Serving
from gateway.flow.singleflight import Flight
from gateway.ports import Clock

# If a fetch for a caller brings a version that is too old, this caller has to wait before it may
# cause another fetch of the key. After the first such fetch, this pause lasts for at most _FIRST
# seconds. Each further one in a row doubles this maximum, up to _LONGEST seconds.
_FIRST: Final = 1.0
_LONGEST: Final = 10.0
_MOST: Final = 10_000

_Asking = tuple[Key, str]
_Came = tuple[Landed, Answer]


@dataclass(frozen=True, slots=True)
class _Pause:
    """The pause of a caller after a fetch whose version was too old.

    attempts  how many such fetches there were in a row
    until     when the pause ends (monotonic)
    """

    attempts: int
    until: float


class Versions:
    """Fetches versions, and checks the versions of answers.

    A new fetch is charged to `share` only if a response was already stored. The charge is undone in
    three cases: the fetch brings the version, no call was made, or another replica made the fetch.
    """

    def __init__(self, serving: Serving, clock: Clock, share: CallShare) -> None:
        self._serving = serving
        self._clock = clock
        self._share = share
        self._pauses: FIFOCache[_Asking, _Pause] = FIFOCache(_MOST)

    def reached(self, ask: Ask, answer: Answer) -> Answer:
        """As `checked`, and the pause of the caller ends."""
        checked = self.checked(ask, answer)
        self._pauses.pop(_asking(ask), None)
        return checked

    def checked(self, ask: Ask, answer: Answer) -> Answer:
        """The same answer. Raises VersionNotReached, and begins a pause, if its version is too
        old."""
        if ask.at_least is None or _is_answered(answer, ask.at_least):
            return answer
        raise _not_reached(ask.at_least, _entry_of(answer), self._begin_pause(ask))

    async def fetched(self, ask: Ask, seen: Seen | None) -> Answer:
        """The answer of a fetch that others may share, whatever its version. If a fetch that began
        before this request (here or in another replica) brings a version that is too old, or a 404
        or 410, another fetch is started or joined. Raises VersionNotReached without a fetch during
        a pause, and if the share is used up."""
        wanted = ask.at_least
        assert wanted is not None, "the request needs a version"
        self._refuse_in_pause(ask, wanted, seen)
        earlier, asked_at = self._serving.fills.under_way(ask.key), self._clock.now()
        alone = False
        while True:
            joined = None if alone else self._serving.fills.under_way(ask.key)
            is_earlier = joined is not None and joined is earlier
            if joined is None:
                came: _Came | None = await self._asked(ask, wanted, seen, alone=alone)
            else:
                came = await self._joined(ask, seen, joined)
                # If the answer of the joined fetch does not fit this request (`Vary`), the request
                # makes a call of its own. The answer of the next fetch under way perhaps would not
                # fit either.
                alone = came is None and joined.result() is not None
            if came is not None:
                landed, answer = came
                is_earlier = is_earlier or _is_from_before(landed, asked_at)
                entry = _entry_of(answer)
                if not is_earlier or entry is None or reaches(entry, wanted):
                    return answer
            seen = await self._serving.seen(ask)

    async def _asked(self, ask: Ask, wanted: Instant, seen: Seen | None, *, alone: bool) -> _Came:
        charged, serving = self._charge(ask, wanted, seen), self._serving
        # Whatever version the request needs, a training that is not stored is a miss.
        purpose = Purpose.MISS if seen is None else Purpose.MIN_VERSION
        try:
            own = serving.own_flight
            flight = own(ask, purpose) if alone else serving.start(ask, seen, purpose)
            landed = await flight.join()
            if not serving.fits(ask, landed):
                landed = await own(ask, purpose).join()
        except CallWithheld:
            self._share.give_back(charged)
            raise
        answer = serving.landed(ask, seen, landed, collapsed=False)
        if isinstance(landed, Elsewhere) or reaches(_entry_of(answer), wanted):
            self._share.give_back(charged)
        return landed, answer

    async def _joined(self, ask: Ask, seen: Seen | None, flight: Flight[Landed]) -> _Came | None:
        """The answer of a fetch under way. None in two cases: the answer does not fit the request
        (`Vary`), or the fetch got no call and began when no caller waited."""
        try:
            landed = await flight.join()
        except (BudgetExhausted, Frozen):
            if flight.is_unhurried:
                # A new fetch has a higher priority than `flight`.
                return None
            raise
        if not self._serving.fits(ask, landed):
            return None
        return landed, self._serving.landed(ask, seen, landed, collapsed=True)

    def _charge(self, ask: Ask, wanted: Instant, seen: Seen | None) -> ChargedCall | None:
        if seen is None:
            return None
        charged = self._share.take(ask.caller)
        if charged is None:
            raise _not_reached(wanted, seen.held.entry, self._share.wait(ask.caller.scope))
        return charged

    def _refuse_in_pause(self, ask: Ask, wanted: Instant, seen: Seen | None) -> None:
        pause, now = self._pauses.get(_asking(ask)), self._clock.monotonic()
        if pause is not None and now < pause.until:
            known = None if seen is None else seen.held.entry
            raise _not_reached(wanted, known, pause.until - now)

    def _begin_pause(self, ask: Ask) -> float:
        """Begin a pause after a version that is too old. Returns the seconds until this caller may
        cause another fetch of the key."""
        before = self._pauses.pop(_asking(ask), None)
        attempts = 1 if before is None else before.attempts + 1
        wait = backoff(attempts, _FIRST, _LONGEST, self._clock.jitter())
        self._pauses[_asking(ask)] = _Pause(attempts, self._clock.monotonic() + wait)
        return wait


def _is_from_before(landed: Landed, asked_at: float) -> bool:
    """Whether `landed` is from a fetch of another replica that began before `asked_at` (shared
    clock)."""
    return isinstance(landed, Elsewhere) and landed.seen.held.entry.confirmed_at < asked_at


def _asking(ask: Ask) -> _Asking:
    return ask.key, ask.caller.client


def _entry_of(answer: Answer) -> Entry | None:
    """The entry of the answer. None if the answer is for this caller alone."""
    return None if isinstance(answer.content, Reply) else answer.content.entry


def _is_answered(answer: Answer, wanted: Instant) -> bool:
    """Whether the answer has the version `wanted` or a later one, or says that this caller gets no
    training (for example a 404)."""
    entry = _entry_of(answer)
    return entry is None or entry.is_negative or reaches(entry, wanted)


def _not_reached(wanted: Instant, known: Entry | None, wait: float) -> VersionNotReached:
    reached = known.updated_at_text if known is not None and known.updated_at_text else None
    is_negative = known is not None and known.is_negative
    return VersionNotReached(to_rfc3339(wanted), reached, retry_after=wait, is_negative=is_negative)
