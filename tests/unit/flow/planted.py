"""Bugs that the protocol machine must find: each takes one of the protocol's checks away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.ledger.floors import Record
from gateway.core.cache.entry import Entry, Floor, Key
from gateway.core.vocabulary import StoreVerdict
from gateway.flow.cache.l1_revalidation import Confirming
from gateway.flow.cache.tiers import Seen, Tiers
from gateway.flow.singleflight import Course
from gateway.ports import Found, Held, Stored
from tests.doubles.shared import InMemoryShared

Plant = Callable[[pytest.MonkeyPatch], None]


def no_generation(patch: pytest.MonkeyPatch) -> None:
    """What a fetch brings is stored, and served, whatever was invalidated since it began."""
    judge, is_below = Record.judge, Entry.is_below

    def careless(self: Record, entry: Entry) -> StoreVerdict:
        return judge(self, entry.but(generation=self.generation))

    def below(self: Entry, floor: Floor) -> bool:
        return is_below(self, replace(floor, generation=self.generation))

    patch.setattr(Record, "judge", careless)
    patch.setattr(Entry, "is_below", below)


def no_epoch(patch: pytest.MonkeyPatch) -> None:
    """A floor made after a flush is taken for the one before it."""
    judge, is_below = Record.judge, Entry.is_below

    def careless(self: Record, entry: Entry) -> StoreVerdict:
        return judge(self, entry.but(epoch=self.epoch))

    def below(self: Entry, floor: Floor) -> bool:
        return is_below(self, replace(floor, epoch=self.epoch))

    patch.setattr(Record, "judge", careless)
    patch.setattr(Entry, "is_below", below)


def order_by_end(patch: pytest.MonkeyPatch) -> None:
    """Of two fetches the one that ends later counts as the later one."""
    store = InMemoryShared.store

    async def careless(self: InMemoryShared, key: Key, entry: Entry, keep: float) -> Stored:
        return await store(self, key, entry.but(confirmed_at=self._clock.now()), keep)

    patch.setattr(InMemoryShared, "store", careless)


def copy_unchecked(patch: pytest.MonkeyPatch) -> None:
    """What a look-up brings goes into L1 although the key was invalidated meanwhile."""
    lookup = Tiers.lookup

    async def careless(self: Tiers, key: Key, flight: Course) -> Seen | None:
        return await lookup(self, key, Course())

    patch.setattr(Tiers, "lookup", careless)


def keep_unchecked(patch: pytest.MonkeyPatch) -> None:
    """What a fetch brings is kept although the key was invalidated meanwhile, and Redis, which
    knows better, is away."""
    store = Tiers.store

    async def careless(self: Tiers, key: Key, held: Any, flight: Course) -> Stored:
        return await store(self, key, held, Course())

    patch.setattr(Tiers, "store", careless)


def floor_unread(patch: pytest.MonkeyPatch) -> None:
    """A look-up brings the body without the floor."""
    lookup = InMemoryShared.lookup

    async def careless(self: InMemoryShared, key: Key) -> Found:
        return Found((await lookup(self, key)).entry, None)

    patch.setattr(InMemoryShared, "lookup", careless)


def lost_orders_are_none(patch: pytest.MonkeyPatch) -> None:
    """Where the record of orders is lost, there were none."""
    patch.setattr(InMemoryShared, "_known", lambda self, key: self._floors.lookup(key))
    patch.setattr(InMemoryShared, "_step", lambda self, key: self._lost.discard(key))


def unknown_is_confirmed(patch: pytest.MonkeyPatch) -> None:
    """What Redis has lost is no reason to doubt what L1 holds."""
    settle = Confirming._settle

    def careless(self: Confirming, key: Key, held: Held, standing: Any, at: float) -> bool:
        if standing is None:
            held.checked_at = max(held.checked_at, at)
            return True
        return settle(self, key, held, standing, at)

    patch.setattr(Confirming, "_settle", careless)


def trusting(patch: pytest.MonkeyPatch) -> None:
    """L1 is never confirmed again."""
    init: Any = Confirming.__init__

    def careless(self: Confirming, *others: Any, **_: float) -> None:
        init(self, *others, l1_lifetime=1e9)

    patch.setattr(Confirming, "__init__", careless)


PLANTS: list[Plant] = [
    no_generation,
    no_epoch,
    order_by_end,
    copy_unchecked,
    keep_unchecked,
    floor_unread,
    lost_orders_are_none,
    unknown_is_confirmed,
    trusting,
]
