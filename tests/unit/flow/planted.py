"""Bugs that the protocol machine must find: each takes one of the protocol's checks away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.cache import marks
from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.marks import Facts, Mark, Marks, State, Version
from gateway.flow.cache.l1_revalidation import Confirming
from gateway.flow.cache.tiers import Seen, Tiers
from gateway.flow.singleflight import Course
from gateway.ports import Found, Held, Stored
from tests.doubles.shared import InMemoryShared

Plant = Callable[[pytest.MonkeyPatch], None]


def no_hard_word(patch: pytest.MonkeyPatch) -> None:
    """What a fetch brings is current, whatever was invalidated since it began."""

    def careless(facts: Facts, found: Marks, known: Version = None) -> State:
        mark = found.training
        is_below = mark is not None and marks.is_older(facts.version, mark.bound)
        return State.RESCUE if is_below else State.CURRENT

    patch.setattr(marks, "state_of", careless)


def order_by_end(patch: pytest.MonkeyPatch) -> None:
    """Of two fetches the one that ends later counts as the later one."""
    store = InMemoryShared.store

    async def careless(
        self: InMemoryShared, key: Key, facts: Facts, entry: Entry, keep: float
    ) -> Stored:
        facts = replace(facts, started=self._clock.now())
        return await store(self, key, facts, entry, keep)

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


def marks_unread(patch: pytest.MonkeyPatch) -> None:
    """A look-up brings the entry as if its marks stood as they were."""
    lookup = InMemoryShared.lookup

    async def careless(self: InMemoryShared, key: Key) -> Found:
        found = await lookup(self, key)
        if found.stored is None:
            return found
        words = (None if each is None else Mark(each) for each in found.stored.ticket)
        return found._replace(marks=Marks(*words))

    patch.setattr(InMemoryShared, "lookup", careless)


def unknown_is_confirmed(patch: pytest.MonkeyPatch) -> None:
    """What Redis has lost is no reason to doubt what L1 holds."""
    settle = Confirming._settle

    def careless(self: Confirming, key: Key, held: Held, found: Found, at: float) -> bool:
        if None in found.marks:
            held.checked_at = max(held.checked_at, at)
            return True
        return settle(self, key, held, found, at)

    patch.setattr(Confirming, "_settle", careless)


def trusting(patch: pytest.MonkeyPatch) -> None:
    """L1 is never confirmed again."""
    init: Any = Confirming.__init__

    def careless(self: Confirming, *others: Any, **_: float) -> None:
        init(self, *others, l1_lifetime=1e9)

    patch.setattr(Confirming, "__init__", careless)


PLANTS: list[Plant] = [
    no_hard_word,
    order_by_end,
    copy_unchecked,
    keep_unchecked,
    marks_unread,
    unknown_is_confirmed,
    trusting,
]
