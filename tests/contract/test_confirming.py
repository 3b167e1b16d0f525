"""SharedStore: how keys stand, without their bodies; on the ledger, in memory and on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.adapters.ledger import Ledger
from gateway.core.cache.entry import Confirmation, Entry, Key
from gateway.core.http.fields import Headers
from gateway.core.instant import Instant
from gateway.ports import SharedStore, Standing
from tests.contract.conftest import URLS, epochs, store_on
from tests.contract.test_shared_store import KEEP, KEY, floor_of
from tests.doubles.clocks import TickingClock
from tests.doubles.observer import RecordingObserver
from tests.doubles.shared import InMemoryShared
from tests.doubles.stored import HEADERS, VERSION, entry_of, version

OTHER = Key("p2", "trn_2")


@pytest.fixture(params=["ledger", "in memory", *URLS])
async def shared_store(
    request: pytest.FixtureRequest, observer: RecordingObserver
) -> AsyncIterator[SharedStore]:
    """Each SharedStore, empty; the double in memory as well, since the flow's tests trust it."""
    if request.param == "ledger":
        yield Ledger(TickingClock(), epochs())
    elif request.param == "in memory":
        yield InMemoryShared(TickingClock(), epochs())
    else:
        async with store_on(request.getfixturevalue(URLS[request.param]), observer) as store:
            yield store


async def fetch(
    store: SharedStore,
    updated_at: Instant | None = VERSION,
    headers: Headers = HEADERS,
    body: bytes | None = None,
) -> Entry:
    """Store what a fetch brought that began now."""
    entry = entry_of(await store.begin(KEY), updated_at, body, headers)
    await store.store(KEY, entry, KEEP)
    return entry


async def standing_of(store: SharedStore) -> Standing:
    """How the key stands, which must be known; as a look-up says."""
    standing = (await store.confirm([KEY]))[KEY]
    assert standing is not None
    assert standing.floor == await floor_of(store)
    return standing


async def test_what_is_unknown_is_none(shared_store: SharedStore) -> None:
    """And what is asked for is all that is told."""
    await fetch(shared_store)

    told = await shared_store.confirm([KEY, OTHER])

    assert told.keys() == {KEY, OTHER}
    assert told[OTHER] is None
    assert told[KEY] is not None


@pytest.mark.parametrize("updated_at", [VERSION, None])
async def test_what_was_stored_is_confirmed(
    shared_store: SharedStore, updated_at: Instant | None
) -> None:
    """By whoever holds it: a training, or that there is none."""
    entry = await fetch(shared_store, updated_at)

    standing = await standing_of(shared_store)

    assert entry.confirmed_by(standing.floor, standing.last()) is entry


@pytest.mark.parametrize("updated_at", [VERSION, None])
async def test_what_was_renewed_can_be_made_from_what_was_there(
    shared_store: SharedStore, updated_at: Instant | None
) -> None:
    """Word for word, where bodies are held; else it is not told as the older one."""
    before = await fetch(shared_store, updated_at)
    after = await fetch(shared_store, updated_at, ((b"cf-ray", b"\x80 8f"), (b"x-a", b"")))

    standing = await standing_of(shared_store)

    renewed = before.confirmed_by(standing.floor, standing.last())
    assert renewed == (after if shared_store.holds_bodies else None)
    assert after.confirmed_by(standing.floor, standing.last()) is after


async def test_a_slow_confirmation_does_not_replace_a_later_one(shared_store: SharedStore) -> None:
    """What is kept beside the body is that of the later fetch."""
    slow = entry_of(await shared_store.begin(KEY), headers=((b"x-cluster", b"slow"),))
    quick = await fetch(shared_store)
    await shared_store.store(KEY, slow, KEEP)

    standing = await standing_of(shared_store)

    renewed = slow.confirmed_by(standing.floor, standing.last())
    assert renewed == (quick if shared_store.holds_bodies else None)


async def test_the_later_version_of_an_earlier_fetch_is_not_made_younger(
    shared_store: SharedStore,
) -> None:
    """The later fetch had brought the older version, and confirmed that."""
    early = entry_of(await shared_store.begin(KEY), version(2))
    await fetch(shared_store, version(1))
    await shared_store.store(KEY, early, KEEP)

    standing = await standing_of(shared_store)

    confirmed = early.confirmed_by(standing.floor, standing.last())
    assert confirmed is (early if shared_store.holds_bodies else None)


@pytest.mark.parametrize("how", ["event", "bound", "drop", "purge"])
async def test_what_was_ruled_out_is_not_confirmed(shared_store: SharedStore, how: str) -> None:
    """Nor what another answer brought beside it."""
    entry = await fetch(shared_store)
    await fetch(shared_store)
    match how:
        case "event":
            await shared_store.invalidate(KEY.training_id, None)
        case "bound":
            await shared_store.invalidate(KEY.training_id, version(1))
        case "drop":
            await shared_store.drop(KEY)
        case "purge":
            await shared_store.purge(None, soft=True)

    standing = await standing_of(shared_store)

    assert entry.confirmed_by(standing.floor, standing.last()) is None


async def test_what_came_before_an_event_renews_nothing_after_it(
    shared_store: SharedStore,
) -> None:
    """The next fetch has another generation, and what it brings is kept as its own."""
    before = await fetch(shared_store)
    await shared_store.invalidate(KEY.training_id, None)
    after = await fetch(shared_store)

    standing = await standing_of(shared_store)

    assert before.confirmed_by(standing.floor, standing.last()) is None
    assert after.confirmed_by(standing.floor, standing.last()) is after


async def test_another_body_is_not_confirmed(shared_store: SharedStore) -> None:
    """Of the same version, and of a later one."""
    first = await fetch(shared_store, body=b'{"a":1}')
    second = await fetch(shared_store, body=b'{"a":2}')
    third = await fetch(shared_store, version(1))

    standing = await standing_of(shared_store)

    assert first.confirmed_by(standing.floor, standing.last()) is None
    assert second.confirmed_by(standing.floor, standing.last()) is None
    assert third.confirmed_by(standing.floor, standing.last()) is third


async def test_it_survives_a_fetch_that_begins_or_is_refused(shared_store: SharedStore) -> None:
    """What writes the floor anew carries along what is beside it."""
    before = await fetch(shared_store)
    after = await fetch(shared_store)
    old = entry_of(await shared_store.begin(KEY), version(-1))
    await shared_store.store(KEY, old, KEEP)

    standing = await standing_of(shared_store)

    last = Confirmation.of(after) if shared_store.holds_bodies else None
    assert standing.last() == last
    assert before.but().confirmed_by(standing.floor, last) == (after if last else None)
