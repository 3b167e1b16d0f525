"""What a process alone knows of one key's versions, and what that says of an answer.

Follows adapters/redis/lua rule for rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.core.doubt import Doubt, doubt_of
from gateway.core.entry import ERA, Entry, Floor
from gateway.core.instant import Instant
from gateway.core.status import StoreVerdict


class Last(Enum):
    """What the last answer taken under a floor was."""

    NONE = "-"
    VERSION = "v"
    NEGATIVE = "n"


@dataclass(slots=True)
class Record:
    """A floor, and what scripts know beside it.

    `trusts_next`: nothing came since a drop; `ordered_at`: when an event last invalidated it;
    `raised_from`: the version stored, where the list alone claimed a later one.
    """

    epoch: str
    generation: int = 0
    updated_at: Instant | None = None
    last: Last = Last.NONE
    digest: str = ""
    started: float = 0.0
    doubt: Doubt | None = None
    trusts_next: bool = False
    ordered_at: float = 0.0
    raised_from: Instant | None = None

    def seen(self) -> Floor:
        """The floor as others see it."""
        return Floor(self.epoch, self.generation, self.updated_at, self.digest, self.started)

    def judge(self, entry: Entry) -> StoreVerdict:
        """What store.lua says to it.

        A negative entry has no version: it and what follows it are ordered by their fetches.
        """
        if (entry.epoch, entry.generation) != (self.epoch, self.generation):
            return StoreVerdict.INVALIDATED
        is_later = entry.confirmed_at >= self.started
        if entry.updated_at is None:
            return self._judge_negative(is_later)
        if entry.is_ahead and _before(self.updated_at, entry.updated_at) and not self.trusts_next:
            return StoreVerdict.AHEAD
        if _before(entry.updated_at, self.updated_at):
            return StoreVerdict.OLDER
        if self.last is Last.NEGATIVE and not is_later:
            return StoreVerdict.OLDER
        if self.last is Last.VERSION and entry.updated_at == self.updated_at:
            if entry.digest == self.digest:
                return StoreVerdict.UNCHANGED
            return StoreVerdict.CHANGED if is_later else StoreVerdict.OLDER
        return self._news()

    def _judge_negative(self, is_later: bool) -> StoreVerdict:
        if not is_later:
            return StoreVerdict.OLDER
        return StoreVerdict.UNCHANGED if self.last is Last.NEGATIVE else self._news()

    def _news(self) -> StoreVerdict:
        known_nothing = self.last is Last.NONE and self.updated_at is None
        return StoreVerdict.FIRST if known_nothing else StoreVerdict.CHANGED

    def take(self, entry: Entry) -> None:
        """Know this answer from now on."""
        self.last = Last.NEGATIVE if entry.updated_at is None else Last.VERSION
        if _before(self.updated_at, entry.updated_at):
            self.updated_at = entry.updated_at
        self.digest = entry.digest
        self.started = max(self.started, entry.confirmed_at)
        self.trusts_next, self.raised_from = False, None
        if self.doubt is not None and self.doubt.is_ended_by(entry):
            self.doubt = None

    def believes(self, entry: Entry, believe_after: float) -> bool:
        """Note an answer that was refused; whether it is believed, and known, from now on."""
        behind = _before(entry.updated_at, self.updated_at)
        ahead = entry.is_ahead and not behind
        if entry.updated_at is None or not (behind or ahead) or entry.confirmed_at < self.started:
            return False  # refused for its fetch, which others have overtaken
        doubt = doubt_of(entry) if self.doubt is None else self.doubt.after(entry, self.updated_at)
        self.doubt, self.trusts_next = doubt, False
        if not doubt.is_believed(believe_after):
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
        same = entry.epoch == self.epoch and _era(entry.generation) == _era(self.generation)
        if same and entry.updated_at is not None and not entry.is_ahead:
            self.raise_to(entry.updated_at, entry.confirmed_at)

    def _begin_era(self) -> None:
        self.generation = (_era(self.generation) + 1) * ERA

    def raise_to(self, bound: Instant, now: float) -> None:
        """Rule out what is older than the bound, and negative answers to earlier calls."""
        if not _before(bound, self.updated_at):
            self.raised_from = None
        if _before(self.updated_at, bound):
            self.updated_at, self.last, self.digest = bound, Last.NONE, ""
            self.started = max(self.started, now)


def _era(generation: int) -> int:
    return generation // ERA


def _before(one: Instant | None, other: Instant | None) -> bool:
    """Whether a version precedes another; None precedes all of them."""
    return other is not None and (one is None or one < other)
