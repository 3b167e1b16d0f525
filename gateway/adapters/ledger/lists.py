"""The list held against the floors in memory: what RedisLists is for replicas.

Follows the rules of adapters/redis/lua/compare.lua one for one.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.adapters.ledger.floors import Ledger
from gateway.adapters.ledger.record import Record
from gateway.core.cache.entry import Key
from gateway.core.cache.version_verdict import Last
from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.ports import Compared


class LedgerLists:
    """ListStore of a process alone: its bodies are L1's."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def compare(self, partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        """Hold a page against what is known; `keep` is of no use without bodies."""
        return [self._compared(Key(partition, item.training_id), item) for item in items]

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """No longer know a version that the list alone claimed."""
        record = self._ledger.record(key)
        if record is None or record.raised_from is None or record.updated_at != updated_at:
            return False
        asked_for = self._ledger.asked_for(key.training_id)
        if asked_for is not None and asked_for >= updated_at:
            return False
        record.updated_at, record.raised_from = record.raised_from, None
        return True

    def _compared(self, key: Key, item: Listed) -> Compared:
        record = self._ledger.record(key)
        if record is None:
            return Compared(ListVerdict.UNKNOWN, None, is_held=False)
        verdict = _judge(record, item)
        if verdict is ListVerdict.CONFIRMED:
            _confirm(record, item)
        elif verdict is ListVerdict.NEWER:
            _raise(record, item)
        return Compared(verdict, record.seen(), is_held=record.last is Last.VERSION)


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
