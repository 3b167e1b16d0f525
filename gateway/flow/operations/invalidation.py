"""Invalidates entries, in Redis, in this replica, and in the other replicas.

The sequence matters: first Redis and its replicas, then this replica of the gateway, then the
gateway's other replicas. After these have confirmed, no request gets an invalidated entry as the
current one. No fetch that began before the order brings such an entry back.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, assert_never

from gateway.core.access.operators import LOOPBACK
from gateway.core.cache.entry import Key
from gateway.core.errors import RedisUnavailable
from gateway.core.instant import Instant
from gateway.core.vocabulary import Cause, NoticeKind, Origin
from gateway.flow.cache.tiers import Tiers
from gateway.flow.fill.credentials import Credentials
from gateway.flow.fill.under_way import UnderWay
from gateway.flow.fill.upstream_call import Outbound
from gateway.ports import Bus, Confirmations, Notice, Observer, SharedStore

# Seconds in which replicas have to confirm an order. A replica that does not confirm may serve
# entries that the order ruled out, until `Confirmations.until`.
_PATIENCE: Final = 1.0


class Invalidation:
    """Makes entries invalid in all replicas, and applies the notices of other replicas."""

    def __init__(
        self,
        tiers: Tiers,
        shared: SharedStore,
        bus: Bus,
        observer: Observer,
        *,
        under_way: UnderWay,
        credentials: Credentials,
        outbound: Outbound,
    ) -> None:
        self._tiers = tiers
        self._shared = shared
        self._bus = bus
        self._observer = observer
        self._under_way = under_way
        self._credentials = credentials
        self._outbound = outbound

    async def invalidate(
        self,
        training_ids: tuple[str, ...],
        updated_at: Instant | None,
        *,
        soft: bool = False,
        by: str = LOOPBACK.name,
    ) -> Confirmations:
        """Invalidate versions below `updated_at` (None: all versions) in every partition, in the
        name of the operator `by`. `soft`: these versions may still be used for rescue.

        Raises RedisUnavailable. The order has then perhaps been carried out in part. It is safe to
        repeat the order.
        """
        order = partial(self._shared.order, partition=None, version=updated_at, is_hard=not soft)
        await asyncio.gather(*map(order, training_ids))
        about = Notice(NoticeKind.INVALIDATED, training_ids, updated_at=updated_at, soft=soft)
        return await self._everywhere(replace(about, operator=by))

    async def written(self, training_ids: tuple[str, ...], partition: str) -> None:
        """Invalidate all stored versions of the trainings that a write in `partition` changed.

        This is a soft order, because the upstream perhaps has another training with the same id in
        other partitions. The writer gets the upstream's answer in any case, so the observer is told
        if not all replicas confirm. Raises RedisUnavailable.
        """
        order = partial(self._shared.order, partition=None, version=None, is_hard=False)
        await asyncio.gather(*map(order, training_ids))
        await asyncio.gather(*(self._tiers.forget(Key(partition, each)) for each in training_ids))
        notice = Notice(NoticeKind.INVALIDATED, training_ids)
        confirmations = await self._everywhere(notice, Cause.WRITE, partition)
        if not confirmations.is_complete:
            self._observe_unconfirmed(training_ids, partition, confirmations)

    def written_here(self, training_ids: tuple[str, ...], partition: str) -> None:
        """Do the same as `written` in this replica alone, because Redis does not answer."""
        notice = Notice(NoticeKind.INVALIDATED, training_ids)
        self.apply(notice, Origin.ORDER, Cause.WRITE, writer=partition, known=False)
        self._observe_unconfirmed(training_ids, partition, None)

    async def refused(self, partition: str) -> None:
        """Drop all that is stored for a credential, because the upstream answered 401 to it."""
        notice = Notice(NoticeKind.REFUSED, partition=partition)
        self.apply(notice, Origin.UPSTREAM)
        with suppress(RedisUnavailable):
            await self._shared.order(None, partition, None, is_hard=True)
        self.apply(notice, Origin.UPSTREAM)  # a look-up may have put entries into L1 meanwhile
        with suppress(RedisUnavailable):
            await self._bus.announce(notice)

    async def purge(
        self, partition: str | None, *, soft: bool, by: str = LOOPBACK.name
    ) -> Confirmations:
        """Invalidate all entries of the partition (None: of all partitions). `soft`, `by` and the
        error are the same as in `invalidate`."""
        was_there = await self._shared.order(None, partition, None, is_hard=not soft)
        notice = Notice(NoticeKind.PURGED, partition=partition, soft=soft, operator=by)
        is_empty = partition is not None and not was_there
        return replace(await self._everywhere(notice), is_empty=is_empty)

    async def _everywhere(
        self, notice: Notice, cause: Cause = Cause.EVENT, writer: str | None = None
    ) -> Confirmations:
        # The notice does not name `writer`, so the other replicas drop the entries of all
        # partitions from L1. For rescue they read those that stay from Redis.
        self.apply(notice, Origin.ORDER, cause, writer=writer)
        return await self._bus.confirm(notice, _PATIENCE)

    def apply(
        self,
        notice: Notice,
        by: Origin = Origin.REPLICA,
        cause: Cause = Cause.EVENT,
        *,
        writer: str | None = None,
        known: bool = True,
    ) -> None:
        """Apply a notice in this replica. To apply it twice or late does no harm. `writer`: the
        partition of the write that the notice is about. `known` False: Redis does not know the
        order, so results of fetches under way are not offered to Redis."""
        match notice.kind:
            case NoticeKind.CHANGED:
                self._changed(notice)
            case NoticeKind.INVALIDATED:
                for training_id in notice.training_ids:
                    self._observer.invalidated(cause, training_id, by=by, operator=notice.operator)
                self._invalidated(notice, writer, known=known)
            case NoticeKind.PURGED:
                self._purged(notice, by)
            case NoticeKind.REFUSED:
                assert notice.partition is not None, "a REFUSED notice names its partition"
                self._credentials.refuse(notice.partition)
                self._purged(notice, by)
            case NoticeKind.GATE_CLOSED:
                assert notice.scope is not None, "a GATE_CLOSED notice names its scope"
                assert notice.until is not None, "a GATE_CLOSED notice has an end"
                self._outbound.gate_closed_elsewhere(notice.scope, notice.until)
            case _:
                assert_never(notice.kind)

    def gap(self) -> None:
        """Let requests ask Redis before L1 serves an entry, because this replica has perhaps missed
        notices. Fetches under way may still store their results: Redis judges each by its
        ticket."""
        self._under_way.lookups.retire()
        self._under_way.fills.retire()
        self._tiers.confirming.suspect()

    def _changed(self, notice: Notice) -> None:
        """Let requests ask Redis about entries that another replica found to be outdated."""
        assert notice.partition is not None, "a CHANGED notice names its partition"
        for training_id in notice.training_ids:
            key = Key(notice.partition, training_id)
            if self._tiers.is_passed(key, notice.updated_at):
                self._tiers.doubt(key)
                self._observer.noted(key, "entry.outdated", by=Origin.REPLICA)
            self._under_way.bring(key)

    def _invalidated(self, notice: Notice, writer: str | None, *, known: bool) -> None:
        ids = frozenset(notice.training_ids)
        self._under_way.forget(lambda key: key.training_id in ids, known=known)
        self._tiers.give_up_passed(ids, notice.updated_at, soft=notice.soft, writer=writer)

    def _observe_unconfirmed(
        self, training_ids: tuple[str, ...], partition: str, confirmations: Confirmations | None
    ) -> None:
        for training_id in training_ids:
            self._observer.write_unconfirmed(Key(partition, training_id), confirmations)

    def _purged(self, notice: Notice, by: Origin) -> None:
        self._under_way.forget(lambda key: notice.partition in (None, key.partition))
        count = self._tiers.purge_local(notice.partition, soft=notice.soft)
        if count:
            self._observer.invalidated(Cause.PURGE, "*", count, by, notice.operator)
