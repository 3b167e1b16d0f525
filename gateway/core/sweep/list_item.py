"""An item of the list: the version that a page states for one training."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gateway.core.cache.entry import VERSION_TOLERANCE
from gateway.core.cache.marks import (
    Facts,
    Mark,
    Marks,
    NewWord,
    Slot,
    Ticket,
    Words,
    confirm,
    had_no_order,
    is_older,
    with_mark,
)
from gateway.core.instant import Instant, from_seconds
from gateway.core.upstream.training import Training


class ListVerdict(StrEnum):
    """The result of comparing an item with what is stored of its training."""

    # Nothing is stored that a purge or a 401 has not ended.
    UNKNOWN = "unknown"
    # The item has the stored version.
    CONFIRMED = "confirmed"
    # The item has a later version than the stored one.
    NEWER = "newer"
    # The item has an older version, or one far in the future, or the last answer was a 404 or 410:
    # a single call decides.
    DOUBTFUL = "doubtful"
    # A single answer or an order is later than the page, or an order without a version still waits
    # for a single answer. The item is ignored.
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Listed:
    """What one item of the list states of its training, with fields as in `Entry`.

    `confirmed_at`: the moment for which the page speaks (when it was asked for, minus its `Age`).
    """

    training: Training
    date: str
    confirmed_at: float

    @property
    def training_id(self) -> str:
        """The id of the training."""
        return self.training.id

    @property
    def updated_at(self) -> Instant:
        """The stated version."""
        return self.training.updated_at

    @property
    def is_ahead(self) -> bool:
        """Whether the version was far in the future when the page was asked for."""
        return self.updated_at > from_seconds(self.confirmed_at + VERSION_TOLERANCE)

    def facts(self, ticket: Ticket) -> Facts:
        """The facts of a response that is made from the item."""
        return Facts(self.updated_at, ticket, self.confirmed_at, self.confirmed_at)


class Judged(NamedTuple):
    """The verdict on an item, the slot after it, and the words with which the item can be stored
    (None: it cannot be stored)."""

    verdict: ListVerdict
    slot: Slot
    ticket: Ticket | None


def judge(item: Listed, marks: Marks, slot: Slot, page: Ticket, new_word: NewWord | None) -> Judged:
    """Compare an item with what is stored. `page`: the words that were read before the moment of
    the page. `new_word`: makes the words of a missing mark (None: no mark is made)."""
    said = _compare(item, marks, slot.stored)
    # Otherwise a purge came since the page was asked for.
    is_complete = None not in page[:2] and page[:2] == marks.ticket[:2]
    words = _words_before(item, slot)
    if said is ListVerdict.UNKNOWN and had_no_order(slot.mark) and is_complete and new_word:
        slot = with_mark(slot, new_word)
        words = slot.mark and slot.mark.words
    if said is ListVerdict.CONFIRMED:
        slot = confirm(slot, item.facts(page))
    return Judged(said, slot, page._replace(training=words) if words and is_complete else None)


def _compare(item: Listed, marks: Marks, stored: Facts | None) -> ListVerdict:
    mark = marks.training
    if mark is None or stored is None:
        return ListVerdict.DOUBTFUL if item.is_ahead else ListVerdict.UNKNOWN
    if stored.started > item.confirmed_at or not _has_words_of(stored, mark):
        return ListVerdict.PASSED
    if is_older(item.updated_at, mark.bound):
        return ListVerdict.DOUBTFUL
    if stored.ticket[:2] != marks.ticket[:2]:
        return ListVerdict.DOUBTFUL if item.is_ahead else ListVerdict.UNKNOWN
    if stored.version is None:
        return ListVerdict.DOUBTFUL
    if item.updated_at == stored.version:
        return ListVerdict.CONFIRMED
    is_later = item.updated_at > stored.version and not item.is_ahead
    return ListVerdict.NEWER if is_later else ListVerdict.DOUBTFUL


def _words_before(item: Listed, slot: Slot) -> Words | None:
    """The words of the training's mark, if they were read before the moment of the page: for the
    stored response. None: not known."""
    mark, stored = slot.mark, slot.stored
    if mark is None or stored is None or stored.started > item.confirmed_at:
        return None
    return mark.words if _has_words_of(stored, mark) else None


def _has_words_of(stored: Facts, mark: Mark) -> bool:
    """Whether no order about all versions came since the stored response was fetched."""
    ours = stored.ticket.training
    return ours is not None and ours[:2] == mark.words[:2]
