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


UNCHANGED, CHANGED = StoreVerdict.UNCHANGED, StoreVerdict.CHANGED
# What fetches bring that begin so many seconds after the fifth version was stored: its version,
# what is said to it, and its body if that matters.
Brought = tuple[float, Instant | None, StoreVerdict, bytes | None]
ONE, TWICE = version(1), [(1.0, version(1), OLDER, None), (31.0, version(1), OLDER, None)]


def brought(
    *answers: tuple[float, Instant | None, StoreVerdict], body: bytes | None = None
) -> list[Brought]:
    """Answers with the usual body, or with this one."""
    return [(*each, body) for each in answers]


HISTORIES: dict[str, list[Brought]] = {
    "two answers are not enough": brought((1, ONE, OLDER), (10_000, ONE, OLDER)),
    "many within a minute are not enough": brought(*((at, ONE, OLDER) for at in range(1, 60))),
    "an edit of what went back agrees": brought(
        (1, ONE, OLDER), (31, version(2), OLDER), (62, version(3), BELIEVED)
    ),
    "ever later dates ahead agree": brought(
        (1, FAR, AHEAD), (31, Instant(FAR + 1), AHEAD), (62, Instant(FAR + 2), BELIEVED)
    ),
    "what is believed is renewed like any": [
        *TWICE,
        *brought((62, ONE, BELIEVED), (63, ONE, UNCHANGED)),
        *brought((64, ONE, CHANGED), body=b"{}"),
        *brought((65, version(2), CHANGED)),
    ],
    "a date that was wrong is left again": brought(
        *((1, FAR, AHEAD), (31, FAR, AHEAD), (62, FAR, BELIEVED)),
        *((63, version(5), OLDER), (90, version(5), OLDER), (130, version(5), BELIEVED)),
    ),
    "an earlier version begins anew": [
        *TWICE,
        *brought((62, version(0), OLDER), (63, ONE, OLDER), (93, ONE, OLDER), (123, ONE, BELIEVED)),
    ],
    "other bytes begin anew": [
        *TWICE,
        *brought((62, ONE, OLDER), (92, ONE, OLDER), (123, ONE, BELIEVED), body=b"{}"),
    ],
    "the other side of what is known begins anew": [
        *TWICE,
        *brought((62, FAR, AHEAD), (63, ONE, OLDER), (93, ONE, OLDER), (124, ONE, BELIEVED)),
    ],
    "the known version ends the doubt": [
        *TWICE,
        *brought((32, version(5), UNCHANGED), (62, ONE, OLDER), (92, ONE, OLDER)),
    ],
    "a later version ends the doubt": [
        *TWICE,
        *brought((32, version(6), CHANGED), (62, ONE, OLDER), (92, ONE, OLDER)),
    ],
    "a 404 ends the doubt": [
        *TWICE,
        *brought((32, None, CHANGED), (62, ONE, OLDER), (92, ONE, OLDER)),
    ],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())
async def test_answers_agree_or_not(asked: Asked, history: list[Brought]) -> None:
    """Three over a minute in which nothing else came: each is judged as the table says."""
    await asked.store(0, version(5))

    said = [await asked.store(at, updated_at, body) for at, updated_at, _, body in history]

    assert said == [verdict for _, _, verdict, _ in history]


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
