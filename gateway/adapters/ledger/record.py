"""What a process alone knows of one key's versions, and what that says of an answer.

Follows adapters/redis/lua rule for rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.core.cache.entry import SOFT, Entry, Floor, era, next_era
from gateway.core.cache.version_verdict import Known, Last, before
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict


@dataclass(slots=True)
class Record(Known):
    """A floor, and what scripts know beside it.

    epoch, generation  the floor's
    ordered_at         seconds: when an order last invalidated it
    """

    epoch: str = field(kw_only=True)
    generation: int = 0

    ordered_at: float = 0.0

    def seen(self) -> Floor:
        """The floor as others see it."""
        return Floor(self.epoch, self.generation, self.updated_at, self.digest, self.started)

    def judge(self, entry: Entry) -> StoreVerdict:
        """What store.lua says to it."""
        if (entry.epoch, entry.generation) != (self.epoch, self.generation):
            return StoreVerdict.INVALIDATED
        return self.verdict(entry)

    def believes(self, entry: Entry, believe_after: float) -> bool:
        """Note an answer that was refused; whether it is believed, and known, from now on."""
        if not Known.believes(self, entry, believe_after):
            return False
        self._begin_era()
        self.updated_at, self.last, self.digest = entry.updated_at, Last.VERSION, entry.digest
        self.started, self.doubt, self.raised_from = entry.confirmed_at, None, None
        return True

    def forget(self) -> None:
        """Rule out all there is, know no version any more, and take the next one unquestioned."""
        self._begin_era()
        self.updated_at, self.last, self.digest, self.started = None, Last.NONE, "", 0.0
        self.doubt, self.trusts_next, self.raised_from = None, True, None

    def learn_of(self, entry: Entry) -> None:
        """An entry that an order ruled out still proves its version: a caller that was answered
        with it gets none older. Not where it began in another era, nor where the version may be
        a mistake."""
        same = entry.epoch == self.epoch and era(entry.generation) == era(self.generation)
        if not same or entry.updated_at is None or entry.is_ahead:
            return
        if before(self.updated_at, entry.updated_at):
            self.raise_to(entry.updated_at, entry.confirmed_at)

    def invalidate(self, bound: Instant | None, now: float, *, soft: bool) -> None:
        """Rule out what is older than the bound (everything, for None)."""
        if bound is None:
            self.generation += SOFT if soft else 1
        elif not soft:
            self.raise_to(bound, now)
        elif before(self.updated_at, bound):
            self._raise_softly(bound, now)

    def _begin_era(self) -> None:
        self.generation = next_era(self.generation)

    def raise_to(self, bound: Instant, now: float) -> None:
        """Rule out what is older than the bound, and negative answers to earlier calls."""
        if before(self.raised_from or self.updated_at, bound):
            self.updated_at = max(bound, self.updated_at or bound)
            self.last, self.digest, self.raised_from = Last.NONE, "", None
            self.started = max(self.started, now)

    def _raise_softly(self, bound: Instant, now: float) -> None:
        """The same, but what is stored may rescue, if it might until now."""
        if self.last is not Last.VERSION:
            self.raise_to(bound, now)
            return
        self.raised_from, self.updated_at = self.raised_from or self.updated_at, bound
        self.started = max(self.started, now)
