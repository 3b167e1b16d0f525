"""Requests that want a version at least as late as one that they know: `Training-Min-Updated-At`.

Who wrote a training reads what it wrote: from what is stored where that is late enough, else by
one fetch for all who want it. Nothing here raises a floor: a wish is no evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from gateway.core.entry import Entry, Key
from gateway.core.errors import BackedOff, BudgetExhausted, OnlyIfCached, VersionNotReached
from gateway.core.instant import Instant, to_rfc3339
from gateway.core.pacing import backoff
from gateway.core.reply import Reply
from gateway.core.status import Purpose
from gateway.flow.answer import Answer, Ask
from gateway.flow.serve import Serving
from gateway.ports import Clock

# Seconds for which a key is left alone after the first fetch in vain, and at most.
_FIRST: Final = 1.0
_LONGEST: Final = 10.0
_MOST: Final = 10_000


class Answering(Protocol):
    """Serving, or what stands before it."""

    async def get(self, ask: Ask) -> Answer:
        """The answer."""
        ...


@dataclass(frozen=True, slots=True)
class _Vain:
    """So many fetches in a row brought no version late enough; the next one goes at `until`."""

    attempts: int
    until: float


class Reaching:
    """Answers requests, those that want a version by what they want."""

    def __init__(self, serving: Serving, clock: Clock) -> None:
        self._serving = serving
        self._clock = clock
        self._vain: dict[Key, _Vain] = {}

    async def get(self, ask: Ask, answering: Answering) -> Answer:
        """As `answering` does where what is stored is late enough, or none is wanted.

        Raises VersionNotReached, and what a fetch raises: an older version rescues nobody here.
        """
        wanted = ask.at_least
        if wanted is None:
            return await answering.get(ask)
        seen = await self._serving.seen(ask)
        known = None if seen is None else seen.held.entry
        if seen is not None and not seen.below_floor and _reaches(seen.held.entry, wanted):
            return await answering.get(ask)
        if ask.only_if_cached:
            raise OnlyIfCached
        self._wait_for(ask.key, wanted, known)
        answer = await self._fetched(ask, joined=self._serving.fills.under_way(ask.key) is not None)
        entry = None if isinstance(answer.content, Reply) else answer.content.entry
        if entry is None or entry.is_negative or _reaches(entry, wanted):
            self._vain.pop(ask.key, None)
            return answer
        raise _not_reached(wanted, entry, self._missed(ask.key))

    async def _fetched(self, ask: Ask, *, joined: bool) -> Answer:
        """One fetch for all; who joined one that began before may need another."""
        seen, flight = await self._serving.seen(ask), self._serving.fills.under_way(ask.key)
        flight = flight or self._serving.start(ask, seen, Purpose.MIN_VERSION)
        try:
            landed = await flight.join()
        except (BudgetExhausted, BackedOff):
            if not flight.is_unhurried:
                raise
            return await self._fetched(ask, joined=False)  # with a caller's right
        answer = await self._serving.landed(ask, seen, landed, collapsed=joined)
        content, wanted = answer.content, ask.at_least
        if not joined or isinstance(content, Reply) or wanted is None:
            return answer
        if content.entry.is_negative or _reaches(content.entry, wanted):
            return answer
        return await self._fetched(ask, joined=False)

    def _wait_for(self, key: Key, wanted: Instant, known: Entry | None) -> None:
        vain, now = self._vain.get(key), self._clock.monotonic()
        if vain is not None and now < vain.until:
            raise _not_reached(wanted, known, vain.until - now)

    def _missed(self, key: Key) -> float:
        """Note a fetch in vain; seconds until the next one may help."""
        before = self._vain.pop(key, None)
        attempts = 1 if before is None else before.attempts + 1
        wait = backoff(attempts, _FIRST, _LONGEST, self._clock.jitter())
        self._vain[key] = _Vain(attempts, self._clock.monotonic() + wait)
        if len(self._vain) > _MOST:
            del self._vain[next(iter(self._vain))]
        return wait


def _reaches(entry: Entry, wanted: Instant) -> bool:
    return entry.updated_at is not None and entry.updated_at >= wanted


def _not_reached(wanted: Instant, known: Entry | None, wait: float) -> VersionNotReached:
    reached = known.updated_at_text if known is not None and known.updated_at_text else None
    return VersionNotReached(to_rfc3339(wanted), reached, retry_after=wait)
