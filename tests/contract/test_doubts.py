"""SharedStore: versions that went back, or are far ahead: refused, and believed in the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.cache.entry import VERSION_TOLERANCE, Ticket
from gateway.core.instant import Instant, from_seconds
from gateway.core.vocabulary import StoreVerdict
from gateway.ports import SharedStore, Stored
from tests.contract.test_shared_store import KEEP, KEY, floor_of
from tests.doubles.stored import entry_of, version

OLDER, AHEAD, BELIEVED = StoreVerdict.OLDER, StoreVerdict.AHEAD, StoreVerdict.BELIEVED
FAR = Instant(200_000_000_000_000_000_000)  # in the year 8307
BELIEVE_AFTER = 60.0


class Asked:
    """Fetches of one key that begin so many seconds after now."""

    def __init__(self, store: SharedStore) -> None:
        self._store = store

    async def ticket(self, at: float) -> Ticket:
        """What a fetch takes that begins then."""
        ticket = await self._store.begin(KEY)
        return replace(ticket, started=ticket.started + at)

    async def store(
        self, at: float, updated_at: Instant | None, body: bytes | None = None
    ) -> StoreVerdict:
        """What is said to the answer of such a fetch."""
        return (await self.offer(await self.ticket(at), updated_at, body)).verdict

    async def offer(
        self, ticket: Ticket, updated_at: Instant | None, body: bytes | None = None
    ) -> Stored:
        """Store what the fetch brought."""
        return await self._store.store(KEY, entry_of(ticket, updated_at, body), KEEP)


@pytest.fixture
def asked(shared_store: SharedStore) -> Asked:
    """Who asks."""
    return Asked(shared_store)


@pytest.mark.parametrize(("brought", "refusal"), [(version(1), OLDER), (FAR, AHEAD)])
async def test_the_third_answer_over_a_minute_is_believed(
    asked: Asked, shared_store: SharedStore, brought: Instant, refusal: StoreVerdict
) -> None:
    """The floor takes its version, and what was stored before is ruled out everywhere."""
    ticket = await asked.ticket(0)
    await asked.offer(ticket, version(5))

    said = [await asked.store(at, brought) for at in (1, 31, 62)]

    assert said == [refusal, refusal, BELIEVED]
    found = await shared_store.lookup(KEY)
    assert found.floor is not None
    assert found.floor.updated_at == brought
    assert entry_of(ticket, version(5)).is_below(found.floor)
    assert (found.entry is not None) == shared_store.holds_bodies
    assert found.entry is None or not found.entry.is_below(found.floor)
    assert found.entry is None or found.entry.updated_at == brought


@pytest.mark.parametrize("brought", [version(1), FAR])
async def test_a_believed_version_is_renewed_like_any(asked: Asked, brought: Instant) -> None:
    """It is what is known now."""
    await asked.store(0, version(5))
    for at in (1, 31, 62):
        await asked.store(at, brought)

    assert await asked.store(63, brought) is StoreVerdict.UNCHANGED
    assert await asked.store(64, brought, b"{}") is StoreVerdict.CHANGED


async def test_two_answers_are_not_enough(asked: Asked) -> None:
    """However far apart."""
    await asked.store(0, version(5))

    assert [await asked.store(at, version(1)) for at in (1, 10_000)] == [OLDER, OLDER]


async def test_many_answers_in_less_than_a_minute_are_not_enough(asked: Asked) -> None:
    """A replica of the upstream may lag so long."""
    await asked.store(0, version(5))

    assert {await asked.store(at, version(1)) for at in range(1, 60)} == {OLDER}


async def test_a_fetch_that_began_before_the_last_one_does_not_count(asked: Asked) -> None:
    """Answers that were under way at once say what one says."""
    await asked.store(0, version(5))
    early, same = await asked.ticket(20), await asked.ticket(30)
    await asked.offer(same, version(1))
    await asked.offer(early, version(1))
    await asked.offer(same, version(1))

    assert await asked.store(95, version(1)) is OLDER
    assert await asked.store(96, version(1)) is BELIEVED


async def test_a_fetch_overtaken_by_what_is_known_does_not_count(asked: Asked) -> None:
    """Upstream went on while it was under way, and not back."""
    late = [await asked.ticket(at) for at in (1, 31, 62)]
    await asked.store(70, version(5))

    assert [(await asked.offer(each, version(1))).verdict for each in late] == [OLDER] * 3
    assert [await asked.store(at, version(1)) for at in (71, 91)] == [OLDER, OLDER]


async def test_an_edit_of_what_went_back_agrees(asked: Asked) -> None:
    """The upstream was restored, and worked with since."""
    await asked.store(0, version(5))

    said = [await asked.store(at, version(later)) for at, later in ((1, 1), (31, 2), (62, 3))]

    assert said == [OLDER, OLDER, BELIEVED]


@pytest.mark.parametrize(
    ("updated_at", "body"), [(version(0), None), (version(1), b"{}"), (FAR, None)]
)
async def test_another_answer_begins_anew(
    asked: Asked, updated_at: Instant, body: bytes | None
) -> None:
    """An earlier version, other bytes, the other side of what is known: no agreement."""
    await asked.store(0, version(5))
    for at in (1, 31):
        await asked.store(at, version(1))

    assert (await asked.store(62, updated_at, body)) in (OLDER, AHEAD)
    assert await asked.store(63, version(1), b"[]") is OLDER
    assert await asked.store(100, version(1), b"[]") is OLDER
    assert await asked.store(130, version(1), b"[]") is BELIEVED


@pytest.mark.parametrize("taken", [version(5), version(6), None])
async def test_an_answer_that_is_taken_ends_the_doubt(asked: Asked, taken: Instant | None) -> None:
    """What is known was right, or is not any more; a 404 counts as well."""
    await asked.store(0, version(5))
    for at in (1, 31):
        await asked.store(at, version(1))

    await asked.store(32, taken)

    assert [await asked.store(at, version(1)) for at in (62, 92)] == [OLDER, OLDER]


async def test_an_answer_from_before_the_doubt_does_not_end_it(asked: Asked) -> None:
    """It was slow, and says what upstream was before it went back."""
    await asked.store(0, version(5))
    slow = await asked.ticket(1)
    for at in (2, 32):
        await asked.store(at, version(1))

    assert (await asked.offer(slow, version(5))).verdict is StoreVerdict.UNCHANGED
    assert await asked.store(63, version(1)) is BELIEVED


async def test_a_belief_refuses_the_fetches_in_flight(asked: Asked) -> None:
    """They may bring back what was disbelieved."""
    await asked.store(0, version(5))
    slow = await asked.ticket(1)
    for at in (2, 32, 63):
        await asked.store(at, version(1))

    assert (await asked.offer(slow, version(5))).verdict is StoreVerdict.INVALIDATED


async def test_a_bound_that_upstream_does_not_reach_is_disbelieved(
    asked: Asked, shared_store: SharedStore
) -> None:
    """A hint named a version that never comes."""
    await asked.store(0, version(1))
    await shared_store.invalidate("trn_1", version(10))

    assert [await asked.store(at, version(1)) for at in (1, 31, 62)] == [OLDER, OLDER, BELIEVED]


async def test_a_version_is_ahead_from_five_minutes_on(
    asked: Asked, shared_store: SharedStore
) -> None:
    """Upstream's clock may be off by less."""
    ticket = await shared_store.begin(KEY)
    most = from_seconds(ticket.started + VERSION_TOLERANCE)

    assert (await asked.offer(ticket, Instant(most + 1))).verdict is AHEAD
    assert (await asked.offer(ticket, most)).verdict is StoreVerdict.FIRST


async def test_a_date_far_ahead_replaces_nothing(asked: Asked, shared_store: SharedStore) -> None:
    """Neither the version that is known nor its body."""
    await asked.store(0, version(5))
    before = await shared_store.lookup(KEY)

    assert await asked.store(1, FAR) is AHEAD

    assert await shared_store.lookup(KEY) == before


async def test_ever_later_dates_ahead_agree(asked: Asked) -> None:
    """Upstream's clock is wrong, and it is being worked with."""
    await asked.store(0, version(5))

    said = [await asked.store(at, Instant(FAR + at)) for at in (1, 31, 62)]

    assert said == [AHEAD, AHEAD, BELIEVED]


async def test_a_date_that_was_wrong_is_left_again(asked: Asked) -> None:
    """The clock was mended: the true version is far behind what was believed."""
    await asked.store(0, FAR)
    for at in (1, 62):
        await asked.store(at, FAR)

    assert [await asked.store(at, version(5)) for at in (63, 90, 130)] == [OLDER, OLDER, BELIEVED]


@pytest.mark.parametrize("soft", [True, False])
async def test_after_a_purge_any_version_is_taken(
    asked: Asked, shared_store: SharedStore, soft: bool
) -> None:
    """The operator knows: once, and what follows is judged again."""
    await asked.store(0, version(5))
    await asked.store(1, FAR)

    await shared_store.purge(None, soft=soft)

    assert await asked.store(2, FAR) is StoreVerdict.FIRST
    assert await asked.store(3, Instant(FAR + 1)) is AHEAD


async def test_a_purge_trusts_one_answer(asked: Asked, shared_store: SharedStore) -> None:
    """Where that is an ordinary one, a date far ahead is doubted again."""
    await asked.store(0, version(5))
    await shared_store.purge(None, soft=False)

    assert await asked.store(1, version(1)) is StoreVerdict.FIRST
    assert await asked.store(2, FAR) is AHEAD


async def test_a_purge_forgets_the_doubt(asked: Asked, shared_store: SharedStore) -> None:
    """What was refused before it counts for nothing after it."""
    await asked.store(0, version(5))
    for at in (1, 31):
        await asked.store(at, version(1))
    await shared_store.purge(None, soft=False)
    await asked.store(62, version(5))

    assert await asked.store(63, version(1)) is OLDER


async def test_a_disbelieved_version_is_known_no_more(
    asked: Asked, shared_store: SharedStore
) -> None:
    """Versions go on from the believed one."""
    await asked.store(0, version(5))
    for at in (1, 31, 62):
        await asked.store(at, version(1))

    assert await asked.store(63, version(2)) is StoreVerdict.CHANGED
    assert (await floor_of(shared_store)).updated_at == version(2)
