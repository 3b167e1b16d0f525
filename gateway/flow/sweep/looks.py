"""Looks: single calls whose answers are compared with items of the list."""

from __future__ import annotations

from functools import partial
from typing import Final

from cachetools import FIFOCache

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Entry, Key
from gateway.core.instant import Instant
from gateway.core.sweep.belief import Look
from gateway.core.sweep.list_item import Listed
from gateway.core.upstream.training import digest
from gateway.core.vocabulary import Purpose
from gateway.flow.answer import Ask
from gateway.flow.fill.collapse import Landed
from gateway.flow.fill.fetch import Filled
from gateway.flow.request.response_selection import Serving

# If single answers have one of these fields, items are not stored: a page cannot have the field for
# each item.
_VALIDATORS: Final = frozenset({b"etag", b"last-modified"})
_MOST_REFUTED: Final = 10_000
# Each later version is due on the page, because an earlier answer had it.
ANY: Final = Instant(2**96)


class Looks:
    """Makes the looks of one sweep. `results` has those that have ended, and their trainings."""

    def __init__(self, caller: Caller, serving: Serving) -> None:
        self._caller = caller
        self._serving = serving
        self.results: list[tuple[Look, str]] = []
        # For trainings whose item had a later version than a later single answer: this version.
        self._refuted: FIFOCache[str, Instant] = FIFOCache(_MOST_REFUTED)
        self.under_way = 0

    def is_refuted(self, item: Listed) -> bool:
        """Whether a single answer has shown that there is no such version."""
        return self._refuted.get(item.training_id) == item.updated_at

    def send(self, item: Listed, purpose: Purpose, due: Instant, *, is_late: bool = False) -> None:
        """Make a look at the item. If the look finds a later version that is not above `due`, the
        list is behind. If `due` is `ANY`, it is also behind if the look finds a 404. `is_late`: an
        earlier page should have had the version. If the look finds it, the list is behind."""
        self.under_way += 1
        ask = Ask(Key(self._caller.partition, item.training_id), self._caller)
        self._serving.send(ask, purpose, partial(self._note, item, due, is_late))

    def _note(self, item: Listed, due: Instant, is_late: bool, landed: Landed | None) -> None:
        self.under_way -= 1
        # The single call may have joined an earlier fetch, which says nothing about the page.
        if not isinstance(landed, Filled) or landed.held.entry.confirmed_at < item.confirmed_at:
            return
        entry = landed.held.entry
        if entry.updated_at is not None and entry.updated_at < item.updated_at:
            self._refuted[item.training_id] = item.updated_at
        is_late = is_late and entry.updated_at == item.updated_at
        look = Look.BEHIND if is_late else compared(item, entry, due)
        if look is not None:
            self.results.append((look, item.training_id))


def compared(item: Listed, entry: Entry, due: Instant) -> Look | None:
    """The result of the look at `item` that found `entry`. None if it says nothing: the training
    was perhaps edited or deleted after the page was asked for."""
    if entry.updated_at == item.updated_at:
        names = {name for name, _ in entry.headers}
        is_same = entry.digest == digest(item.training.body) and names.isdisjoint(_VALIDATORS)
        return Look.SAME if is_same else Look.OTHER
    if entry.updated_at is None:
        return Look.BEHIND if due == ANY else None
    if entry.updated_at < item.updated_at:
        return Look.OTHER
    return Look.BEHIND if entry.updated_at <= due else None
