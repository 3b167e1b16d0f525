"""SharedStore: 404s, and orders that rule out versions of a training, softly or for good."""

from __future__ import annotations

import itertools

import pytest

from gateway.core.cache.entry import Entry, Key, Ticket
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import SharedStore
from tests.contract.test_shared_store import KEEP, KEY, fetch, floor_of
from tests.doubles.stored import entry_of, version

ELSEWHERE = Key("p2", "trn_1")

# What happens to one training in a partition:
#
# 5 CHANGED        a fetch begins and brings version 5 (or a 404), to which the store says this
# begin            a fetch begins
# late 5 OLDER     what the fetch brings that began so
# order, order 10  rules the training out in all partitions, or its versions below this one
# soft, soft 10    likewise, and leaves what it rules out for rescue
# key              likewise for this partition alone, and leaves nothing
# purge, softpurge
#
# And what is known then:
#
# below, fresh     whether what was stored last is below the floor
# left 5           what a look-up finds, where bodies are held: this version, a 404, or `none`
# floor 10         the version that is known
HISTORIES = {
    "a fetch in flight": "begin | order | late 5 INVALIDATED | 5 CHANGED",
    "what was stored between two orders": "order | 5 FIRST | order | below",
    "the version is not forgotten": "5 FIRST | order | 4 OLDER | 5 UNCHANGED",
    # A bound spares the version that it names, and later ones.
    "what is older": "9 FIRST | order 10 | below",
    "what is as old": "10 FIRST | order 10 | fresh",
    "what is later": "11 FIRST | order 10 | fresh",
    "an older one in flight": "1 FIRST | begin | order 10 | late 9 OLDER",
    "one in flight as old": "1 FIRST | begin | order 10 | late 10 CHANGED",
    "a later one in flight": "1 FIRST | begin | order 10 | late 11 CHANGED",
    "what was never seen": "order 10 | 9 OLDER | 10 CHANGED",
    "an earlier bound lowers nothing": "order 10 | order 5 | 9 OLDER",
    "a purge forgets a bound": "10 FIRST | order 10 | purge | 9 FIRST | order 10 | floor 10",
    "no order brings it back": "5 FIRST | order 10 | purge | order | 9 FIRST",
    "nor a soft purge the body": "4 FIRST | order 5 | softpurge | left none | 4 FIRST",
    # Of one partition.
    "one partition": "5 FIRST | begin | key | late 6 INVALIDATED | 5 OLDER | 6 CHANGED",
    "one partition, an older version": "5 FIRST | begin | key | late 6 INVALIDATED | 4 OLDER",
    "one partition, a 404": "404 FIRST | key | below | 5 CHANGED | 404 CHANGED",
    # A 404 keeps the version; what was seen before or after it is told by when the fetch began.
    "a 404 replaces": "5 FIRST | 404 CHANGED | floor 5 | left 404",
    "a repeated 404": "404 FIRST | 404 UNCHANGED",
    "a 404 from before": "begin | 5 FIRST | late 404 OLDER",
    "made again": "5 FIRST | 404 CHANGED | 5 CHANGED",
    "made again, older": "5 FIRST | 404 CHANGED | 4 OLDER",
    "seen before the 404": "5 FIRST | begin | 404 CHANGED | late 6 OLDER",
    "a bound ends a 404": "404 FIRST | order 10 | left none | below",
    "a bound, and a 404 in flight": "begin | order 10 | late 404 OLDER | 404 CHANGED",
    **{
        f"{order}, {name}": f"5 FIRST | 404 CHANGED | {steps.format(order)}"
        for order in ("order", "soft")
        for name, steps in {
            "a 404 of a later version": "{} 4 | fresh | left 404 | begin | fresh | left 404",
            "a 404 of this version": "{} 5 | below | left none | begin | below | left none",
            "a 404 of an earlier version": "{} 6 | below | left none | begin | below | left none",
            "a 404 in flight": "begin | {} 5 | late 404 OLDER | 404 CHANGED",
        }.items()
    },
    # Soft orders leave for rescue what they rule out.
    "soft, renewed": "5 FIRST | soft | below | left 5 | 4 OLDER | 5 UNCHANGED | fresh",
    "soft, in flight": "5 FIRST | begin | soft | late 6 INVALIDATED | 5 OLDER",
    "soft, often": "5 FIRST | soft | begin | soft | begin | soft | begin | below | left 5",
    "soft, then for good": "5 FIRST | soft | order | left none",
    "for good, then soft": "5 FIRST | order | soft | left none",
    "soft, begun, then for good": "5 FIRST | soft | begin | order | begin | left none",
    "for good, begun, then soft": "5 FIRST | order | begin | soft | begin | left none",
    "what was stored between them": "5 FIRST | order | 6 CHANGED | soft | below | left 6",
    "soft, what is older": "9 FIRST | soft 10 | below | left 9",
    "soft, what is as old": "10 FIRST | soft 10 | fresh | left 10",
    "soft, what is later": "11 FIRST | soft 10 | fresh | left 11",
    "soft, older in flight": "1 FIRST | begin | soft 10 | late 9 OLDER | 9 OLDER | below | left 1",
    "soft, in flight as old": "1 FIRST | begin | soft 10 | late 10 CHANGED",
    "soft, later in flight": "1 FIRST | begin | soft 10 | late 11 CHANGED",
    "soft, an earlier bound for good": "5 FIRST | soft 10 | order 9 | left none | floor 10",
    "soft, that bound for good": "5 FIRST | soft 10 | order 10 | left none | floor 10",
    "soft, a later bound for good": "5 FIRST | soft 10 | order 11 | left none | floor 11",
    "a soft bound after another": "5 FIRST | order 9 | soft 10 | begin | soft | left none",
    "a soft bound after itself": "5 FIRST | order 10 | soft 10 | begin | soft | left none",
    "below two soft bounds": "5 FIRST | soft 10 | begin | soft 12 | begin | order 7 | left none",
    "soft purge, then for good": "5 FIRST | softpurge | order | left none",
    "soft purge, an earlier bound": "5 FIRST | softpurge | order 4 | below | left 5",
    "soft purge, that bound": "5 FIRST | softpurge | order 5 | below | left 5",
    "soft purge, a later bound": "5 FIRST | softpurge | order 6 | left none",
}


class Told:
    """A history as it is told to a store."""

    def __init__(self, store: SharedStore) -> None:
        self._store = store
        self._late: Ticket | None = None
        self._stored: Entry | None = None
        self._words = itertools.count()  # each 404 has others

    async def step(self, step: str) -> None:
        """Do it, or see that it is so."""
        match step.split():
            case ["begin"]:
                self._late = await self._store.begin(KEY)
            case ["order" | "soft" as order, *bound]:
                updated_at = version(int(bound[0])) if bound else None
                await self._store.invalidate(KEY.training_id, updated_at, soft=order == "soft")
            case ["key"]:
                await self._store.invalidate_key(KEY)
            case ["purge" | "softpurge" as order]:
                await self._store.purge(None, soft=order == "softpurge")
            case ["below" | "fresh" as state]:
                assert self._stored is not None
                assert self._stored.is_below(await floor_of(self._store)) is (state == "below")
            case ["left", what]:
                await self._finds(what)
            case ["floor", number]:
                assert (await floor_of(self._store)).updated_at == version(int(number))
            case ["late", brought, verdict]:
                assert self._late is not None
                await self._brings(self._late, brought, verdict)
            case [brought, verdict]:
                await self._brings(await self._store.begin(KEY), brought, verdict)
            case _:
                raise ValueError(step)

    async def _brings(self, ticket: Ticket, brought: str, verdict: str) -> None:
        if brought == "404":
            entry = entry_of(ticket, None, b"%d" % next(self._words))
        else:
            entry = entry_of(ticket, version(int(brought)))
        said = (await self._store.store(KEY, entry, KEEP)).verdict
        assert said is StoreVerdict[verdict]
        if not said.is_refusal:
            self._stored = entry

    async def _finds(self, what: str) -> None:
        entry = (await self._store.lookup(KEY)).entry
        if what == "none" or not self._store.holds_bodies:
            assert entry is None
            return
        assert entry is not None
        assert entry.updated_at == (None if what == "404" else version(int(what)))


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())
async def test_the_next_fetches_are_judged_by_what_was_ordered(
    shared_store: SharedStore, history: str
) -> None:
    """And by what was stored; what an order leaves, rescues."""
    told = Told(shared_store)
    for step in history.split(" | "):
        await told.step(step)


@pytest.mark.parametrize("soft", [False, True])
async def test_an_order_covers_every_partition(shared_store: SharedStore, soft: bool) -> None:
    """Held entries are below the floor wherever they are; other trainings are spared."""
    other = Key("p1", "trn_2")
    tickets = {key: await shared_store.begin(key) for key in (KEY, ELSEWHERE, other)}
    for key, ticket in tickets.items():
        await fetch(shared_store, key=key, ticket=ticket)

    await shared_store.invalidate("trn_1", None, soft=soft)

    for key in (KEY, ELSEWHERE):
        assert entry_of(tickets[key]).is_below(await floor_of(shared_store, key))
        is_left = (await shared_store.lookup(key)).entry is not None
        assert is_left is (soft and shared_store.holds_bodies)
    assert not entry_of(tickets[other]).is_below(await floor_of(shared_store, other))


async def test_an_order_for_one_key_spares_the_other_partitions(shared_store: SharedStore) -> None:
    """What is stored there stays as it is."""
    tickets = {key: await shared_store.begin(key) for key in (KEY, ELSEWHERE)}
    for key, ticket in tickets.items():
        await fetch(shared_store, version(5), key=key, ticket=ticket)

    await shared_store.invalidate_key(KEY)

    assert entry_of(tickets[KEY], version(5)).is_below(await floor_of(shared_store))
    assert (await shared_store.lookup(KEY)).entry is None
    spared = entry_of(tickets[ELSEWHERE], version(5))
    assert not spared.is_below(await floor_of(shared_store, ELSEWHERE))
    assert (await fetch(shared_store, version(6), key=ELSEWHERE)).verdict is StoreVerdict.CHANGED
