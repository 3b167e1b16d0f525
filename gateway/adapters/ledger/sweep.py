"""The sweep of a process without Redis, by the rules of adapters/redis/lua/sweep.lua."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from gateway.adapters.ledger.floors import Ledger, Record
from gateway.core.cache.entry import Key
from gateway.core.cache.version_verdict import Last
from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.sweep.progress import Progress, is_last
from gateway.core.upstream.list_page import Page
from gateway.ports import Advanced, Clock, Compared, Turn


class LedgerLists:
    """The ListStore of a process without Redis."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def compare(self, partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        """As ListStore.compare. `keep` has no effect."""
        return [self._compared(Key(partition, item.training_id), item) for item in items]

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """As ListStore.take_back."""
        record = self._ledger.record(key)
        return record is not None and record.take_back(updated_at)

    def _compared(self, key: Key, item: Listed) -> Compared:
        record = self._ledger.record(key)
        if record is None:
            return Compared(ListVerdict.UNKNOWN, None, is_held=False)
        verdict = _judge(record, item)
        if verdict is ListVerdict.CONFIRMED:
            _confirm(record, item)
        elif verdict is ListVerdict.NEWER:
            _raise(record, item)
        return Compared(verdict, record.as_floor(), is_held=record.last is Last.VERSION)


def _judge(record: Record, item: Listed) -> ListVerdict:
    known = record.updated_at
    if record.last is Last.NONE and known is None:
        return ListVerdict.UNKNOWN
    if record.ordered_at > item.confirmed_at or item.confirmed_at < record.started:
        return ListVerdict.PASSED
    if record.last is Last.NEGATIVE and item.confirmed_at == record.started:
        return ListVerdict.PASSED
    if record.last is Last.NONE and known is not None and item.updated_at <= known:
        return ListVerdict.UNKNOWN
    if known is not None and item.updated_at < known:
        return ListVerdict.DOUBTFUL
    if item.is_ahead and item.updated_at != known:
        return ListVerdict.DOUBTFUL
    if record.last is Last.VERSION and item.updated_at == known and record.raised_from is None:
        return ListVerdict.CONFIRMED
    return ListVerdict.NEWER


def _confirm(record: Record, item: Listed) -> None:
    record.started = item.confirmed_at
    if record.doubt is not None and item.confirmed_at >= record.doubt.first:
        record.doubt = None


def _raise(record: Record, item: Listed) -> None:
    if record.last is not Last.VERSION:
        record.last, record.digest, record.started = Last.NONE, "", item.confirmed_at
    elif record.raised_from is None:
        record.raised_from = record.updated_at
    record.updated_at = item.updated_at


@dataclass(slots=True)
class _Met:
    """The trainings that a sweep has met, in the order of the list. A training is in `ids` twice
    if it moved to the next page during the sweep. `place_of` has the last index of each
    training."""

    ids: list[str] = field(default_factory=list)
    place_of: dict[str, int] = field(default_factory=dict)

    def add(self, training_ids: Sequence[str]) -> None:
        """Add the trainings of a page."""
        for each in training_ids:
            self.place_of[each] = len(self.ids)
            self.ids.append(each)

    def between(self, low: int, high: int) -> Iterator[str]:
        """Each training whose last index is from `low` to `high`."""
        for place in range(low, min(high + 1, len(self.ids))):
            training_id = self.ids[place]
            if self.place_of[training_id] == place:
                yield training_id


@dataclass(slots=True)
class _SweepState:
    """The state of the sweep of one partition.

    met      the trainings that the present sweep has met
    known    the trainings that the last complete sweep met
    read_at  the time of the last `take` with `was_read`
    filled   the trainings that `note_filled` was called with
    """

    progress: Progress = field(default_factory=Progress)
    met: _Met = field(default_factory=_Met)
    known: _Met = field(default_factory=_Met)
    read_at: float = -math.inf
    filled: dict[str, None] = field(default_factory=dict)


class LedgerSweepLease:
    """The sweeps of this process. `Turn.is_read` is False for a partition that no caller has read
    for `pause_after` seconds."""

    lifetime = math.inf

    def __init__(self, clock: Clock, *, pause_after: float) -> None:
        self._clock = clock
        self._pause_after = pause_after
        self._states: dict[str, _SweepState] = {}

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """As SweepLease.take. This process always leads."""
        state, now = self._state(partition), self._clock.now()
        if was_read:
            state.read_at = now
        return Turn(True, state.progress, now - state.read_at < self._pause_after, now)

    async def advance(
        self, partition: str, progress: Progress, page: Page, before: Progress
    ) -> Advanced | None:
        """As SweepLease.advance."""
        state = self._state(partition)
        if before.offset == 0:
            state.met = _Met()
        ids = [training.id for training in page.items]
        state.met.add(ids)
        absent = _absent(state, [before.last_id, *ids], before.offset == 0, is_last(page))
        state.progress = progress
        return Advanced(len(state.met.place_of), absent)

    async def note(self, partition: str, progress: Progress) -> bool:
        """Note the progress."""
        self._state(partition).progress = progress
        return True

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """As SweepLease.finish."""
        state = self._state(partition)
        state.progress = progress
        if complete:
            state.known = state.met
        state.met = _Met()
        return True

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """As SweepLease.note_filled."""
        self._state(partition).filled.update(dict.fromkeys(training_ids))

    async def filled(self, partition: str, most: int) -> list[str]:
        """As SweepLease.filled."""
        return list(islice(self._state(partition).filled, most))

    async def forget_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """As SweepLease.forget_filled."""
        for each in training_ids:
            self._state(partition).filled.pop(each, None)

    async def release(self, partition: str) -> None:
        """Do nothing."""

    def _state(self, partition: str) -> _SweepState:
        return self._states.setdefault(partition, _SweepState())


def _absent(state: _SweepState, ids: list[str], first: bool, last: bool) -> tuple[str, ...]:
    """The trainings that the last complete sweep met, and that the present sweep has not met.

    Only the trainings in one range of rows are compared: from the lowest to the highest row that
    `ids` had in the last complete sweep. (`ids` are the trainings of a page, and the last one of
    the page before.) If the page is the `first` one, the range begins at the start of the list. If
    the page is the `last` one, the range ends at the end of the list. Only the first 400 trainings
    in the range are compared.
    """
    known, met = state.known, state.met.place_of
    rows = [known.place_of[each] for each in ids if each in known.place_of]
    low = 0 if first else min(rows, default=None)
    high = len(known.ids) if last else max(rows, default=None)
    if low is None or high is None:
        return ()
    return tuple(each for each in islice(known.between(low, high), 400) if each not in met)
