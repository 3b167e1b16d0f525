"""SharedStore: an answer that an order ruled out still proves that its version exists."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import Ticket
from gateway.core.instant import Instant
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import SharedStore
from tests.contract.test_doubts import FAR, Asked
from tests.contract.test_shared_store import KEY, fetch, floor_of
from tests.doubles.stored import version


async def overtaken(store: SharedStore) -> Ticket:
    """A fetch that an order has overtaken, and then one that brought the second version."""
    ticket = await store.begin(KEY)
    await store.invalidate(KEY.training_id, None)
    await fetch(store, version(2))
    return ticket


async def test_none_older_is_good_after_it(shared_store: SharedStore) -> None:
    """Who was answered with it gets none older, nor does anybody else."""
    ticket = await overtaken(shared_store)

    late = await fetch(shared_store, version(8), ticket=ticket)

    found = await shared_store.lookup(KEY)
    assert late.verdict is StoreVerdict.INVALIDATED
    assert found.entry is None
    assert found.floor is not None
    assert found.floor == late.floor
    assert found.floor.updated_at == version(8)
    assert (await fetch(shared_store, version(7))).verdict is StoreVerdict.OLDER
    assert (await fetch(shared_store, version(8))).verdict is StoreVerdict.CHANGED


@pytest.mark.parametrize("brought", [version(1), FAR, None])
async def test_what_proves_nothing_changes_nothing(
    shared_store: SharedStore, brought: Instant | None
) -> None:
    """An older version, one that may be a mistake, and a 404."""
    ticket = await overtaken(shared_store)

    late = await fetch(shared_store, brought, ticket=ticket)

    assert late.verdict is StoreVerdict.INVALIDATED
    assert (await floor_of(shared_store)).updated_at == version(2)
    assert (await fetch(shared_store, version(2))).verdict is StoreVerdict.UNCHANGED


async def test_a_drop_forgets_what_was_proved_before_it(shared_store: SharedStore) -> None:
    """It is the way out where the upstream went back: no fetch from before closes it."""
    ticket = await shared_store.begin(KEY)
    await shared_store.drop(KEY)
    await fetch(shared_store, version(2))
    await shared_store.invalidate(KEY.training_id, None)

    await fetch(shared_store, version(8), ticket=ticket)

    assert (await floor_of(shared_store)).updated_at == version(2)


async def test_a_belief_holds_against_what_was_asked_before_it(shared_store: SharedStore) -> None:
    """The version that was taken back does not come again with a slow answer."""
    asked = Asked(shared_store)
    await asked.store(0, version(5))
    ticket = await asked.ticket(1)
    said = [await asked.store(at, version(2)) for at in (2, 33, 64)]

    await asked.offer(ticket, version(5))

    assert said[-1] is StoreVerdict.BELIEVED
    assert (await floor_of(shared_store)).updated_at == version(2)
