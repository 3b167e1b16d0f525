"""Marks: what is stored, what an order rules out, and what is believed; in memory and on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest

from gateway.adapters.ledger.marks import LedgerMarks
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.marks import RedisMarks
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import Facts, Marks, Refusal, Slot, State, Version, state_of
from gateway.core.instant import Instant
from tests.contract.conftest import URLS, epochs
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.support.redis_writes import Written, written

__all__ = ["written"]

KEY = Key("p1", "trn_1")
BESIDE = Key("p2", "trn_1")
OLD, NEW, NEWEST = Instant(1_000), Instant(2_000), Instant(3_000)
BELIEVE_AFTER = 60.0


class Table(Protocol):
    """Marks and slots, wherever they are."""

    async def look_up(self, key: Key) -> tuple[Marks, Slot]: ...

    async def make(self, key: Key) -> Marks: ...

    async def store(self, key: Key, new: Facts, now: float) -> Facts | None: ...

    async def confirm(self, key: Key, item: Facts) -> Slot: ...

    async def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> None: ...


@dataclass
class MemoryTable:
    """In memory."""

    marks: LedgerMarks

    async def look_up(self, key: Key) -> tuple[Marks, Slot]:
        return self.marks.look_up(key)

    async def make(self, key: Key) -> Marks:
        return self.marks.make(key)

    async def store(self, key: Key, new: Facts, now: float) -> Facts | None:
        return self.marks.store(key, new, now)

    async def confirm(self, key: Key, item: Facts) -> Slot:
        return self.marks.confirm(key, item)

    async def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> None:
        self.marks.order(training_id, partition, version, is_hard=is_hard)


@dataclass
class RedisTable:
    """On Redis. An answer is offered with the slot that its fetch read, or an older one."""

    marks: RedisMarks
    slots: dict[Key, Slot] = field(default_factory=dict)

    async def look_up(self, key: Key) -> tuple[Marks, Slot]:
        found = await self.marks.look_up(key)
        assert (found.body is None) is (found.slot.stored is None)
        return found.marks, found.slot

    async def make(self, key: Key) -> Marks:
        made = await self.marks.make(key)
        self.slots[key] = (await self.look_up(key))[1]
        return made

    async def store(self, key: Key, new: Facts, now: float) -> Facts | None:
        slot = self.slots.get(key, Slot())
        return await self.marks.store(key, slot, new, b"body", now=now, keep=60.0)

    async def confirm(self, key: Key, item: Facts) -> Slot:
        return await self.marks.confirm(key, (await self.look_up(key))[1], item)

    async def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> None:
        await self.marks.order(training_id, partition, version, is_hard=is_hard)


@asynccontextmanager
async def _redis_marks(url: str) -> AsyncIterator[tuple[RedisMarks, Connection]]:
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=30.0)
    assert await connection.check()
    marks = RedisMarks(
        connection, "gateway", keep=600.0, new_word=epochs(), believe_after=BELIEVE_AFTER
    )
    yield marks, connection
    await connection.close()


@pytest.fixture(params=["memory", *URLS])
async def table(request: pytest.FixtureRequest) -> AsyncIterator[Table]:
    """Each table, empty."""
    if request.param == "memory":
        yield MemoryTable(LedgerMarks(new_word=epochs(), believe_after=BELIEVE_AFTER))
        return
    async with _redis_marks(request.getfixturevalue(URLS[request.param])) as (marks, _):
        yield RedisTable(marks)


async def _answer(table: Table, version: Version, started: float, key: Key = KEY) -> Facts:
    """An answer whose fetch begins now."""
    return Facts(version, (await table.make(key)).ticket, started, started)


async def _stored(table: Table, version: Version, started: float, key: Key = KEY) -> Facts:
    facts = await _answer(table, version, started, key)
    assert await table.store(key, facts, started) == facts
    return facts


async def _state(table: Table, key: Key = KEY) -> State | None:
    marks, slot = await table.look_up(key)
    return None if slot.stored is None else state_of(slot.stored, marks)


async def test_an_answer_is_current_as_it_was_stored(table: Table) -> None:
    """Facts, words and times come back the same."""
    facts = await _stored(table, NEW, 100.25)

    assert (await table.look_up(KEY))[1].stored == facts
    assert await _state(table) is State.CURRENT


async def test_an_answer_whose_marks_were_not_read_is_not_stored(table: Table) -> None:
    """Storing makes no mark."""
    facts = Facts(NEW, (await table.make(BESIDE)).ticket._replace(partition=None), 1.0, 1.0)

    assert await table.store(KEY, facts, 1.0) is None
    assert (await table.look_up(KEY))[1].stored is None


ABOUT = [("trn_1", None), (None, "p1"), (None, None)]


@pytest.mark.parametrize("about", ABOUT, ids=str)
@pytest.mark.parametrize("is_hard", [True, False])
async def test_an_order_rules_out_what_was_read_before(
    table: Table, about: tuple[str | None, str | None], is_hard: bool
) -> None:
    """Stored or in flight; a hard one leaves nothing, a soft one leaves it for rescue."""
    await _stored(table, NEW, 1.0)
    await _stored(table, NEW, 1.0, BESIDE)
    late = await _answer(table, NEW, 2.0)

    await table.order(*about, None, is_hard=is_hard)

    left = State.GONE if is_hard else State.RESCUE
    assert await _state(table) is left
    assert await _state(table, BESIDE) is (State.CURRENT if about[1] else left)
    await table.store(KEY, late, 2.0)
    assert await _state(table) is left
    await _stored(table, NEW, 3.0)
    assert await _state(table) is State.CURRENT


@pytest.mark.parametrize("is_hard", [True, False])
async def test_an_order_with_a_version_rules_out_the_versions_below(
    table: Table, is_hard: bool
) -> None:
    """And every 404; not that version. Bounds only rise."""
    await _stored(table, OLD, 1.0)
    await _stored(table, None, 1.0, BESIDE)

    for version in (NEW, OLD):
        await table.order("trn_1", None, version, is_hard=is_hard)

    assert await _state(table) is (State.GONE if is_hard else State.RESCUE)
    assert await _state(table, BESIDE) is State.GONE
    await _stored(table, NEW, 2.0)
    assert await _state(table) is State.CURRENT


@pytest.mark.parametrize("is_hard", [True, False])
async def test_an_order_with_a_version_leaves_that_version(table: Table, is_hard: bool) -> None:
    """It stays current."""
    await _stored(table, NEW, 1.0)

    await table.order("trn_1", None, NEW, is_hard=is_hard)

    assert await _state(table) is State.CURRENT


async def test_a_hard_order_forgets_the_bounds(table: Table) -> None:
    """The next answer is stored, whatever its version."""
    await table.order("trn_1", None, NEW, is_hard=True)
    await table.order("trn_1", None, None, is_hard=True)

    await _stored(table, OLD, 1.0)
    assert await _state(table) is State.CURRENT


async def test_a_soft_order_keeps_the_bounds(table: Table) -> None:
    """An answer below them is refused."""
    await table.order("trn_1", None, NEW, is_hard=False)
    await table.order("trn_1", None, None, is_hard=False)

    assert await table.store(KEY, await _answer(table, OLD, 1.0), 1.0) is None


async def test_an_older_version_is_refused_and_noted(table: Table) -> None:
    """The first refusal of the lowest version counts."""
    await _stored(table, NEWEST, 1.0)

    for version, now in ((NEW, 5.0), (NEW, 9.0), (OLD, 12.0)):
        assert await table.store(KEY, await _answer(table, version, now), now) is None

    _, slot = await table.look_up(KEY)
    assert (slot.stored and slot.stored.version, slot.refusal) == (NEWEST, Refusal(OLD, 12.0))


async def test_an_equal_version_of_an_earlier_fetch_is_refused(table: Table) -> None:
    """A later fetch renews it; a start in the future does not count."""
    early = await _answer(table, NEW, 1.0)
    await _stored(table, NEW, 2.0)

    assert await table.store(KEY, early, 3.0) is None
    await _stored(table, NEW, 4.0)
    assert await table.store(KEY, early, 3.0) == early


async def test_a_version_that_comes_again_is_believed(table: Table) -> None:
    """By a fetch that began long enough after the refusal; bounds sink, and another tenant's entry
    is not current again."""
    await _stored(table, OLD, 1.0, BESIDE)
    await table.order("trn_1", None, NEW, is_hard=True)
    early = await _answer(table, OLD, 5.0)
    assert await table.store(KEY, early, 6.0) is None
    assert await table.store(KEY, early, 5.0 + 2 * BELIEVE_AFTER) is None

    later = 6.0 + BELIEVE_AFTER
    assert await table.store(KEY, await _answer(table, OLD, later), later + 1.0) is not None

    assert (await _state(table), await _state(table, BESIDE)) == (State.CURRENT, State.GONE)
    assert (await table.look_up(KEY))[1].refusal is None


async def test_an_order_ends_the_belief(table: Table) -> None:
    """What was fetched before it is neither believed nor noted."""
    await _stored(table, NEW, 1.0)
    await table.store(KEY, await _answer(table, OLD, 2.0), 2.0)
    late = await _answer(table, OLD, 2.0 + BELIEVE_AFTER)
    await table.order("trn_1", None, NEWEST, is_hard=False)

    assert await table.store(KEY, late, 3.0 + BELIEVE_AFTER) is None


async def test_the_list_confirms_the_same_version(table: Table) -> None:
    """And nothing else of it; an older page changes nothing."""
    facts = await _stored(table, NEW, 1.0)

    for confirmed in (9.0, 5.0):
        await table.confirm(KEY, replace(facts, confirmed=confirmed))

    assert (await table.look_up(KEY))[1].stored == replace(facts, confirmed=9.0)


async def test_a_later_version_of_the_list_leaves_it_for_rescue(table: Table) -> None:
    """A refusal from before is forgotten, and answers below it are refused."""
    facts = await _stored(table, NEW, 1.0)
    await table.store(KEY, await _answer(table, OLD, 2.0), 2.0)

    slot = await table.confirm(KEY, replace(facts, version=NEWEST))

    assert (await table.look_up(KEY))[1] == slot
    assert (slot.refusal, await _state(table)) == (None, State.RESCUE)
    assert await table.store(KEY, await _answer(table, NEW, 3.0), 3.0) is None
    assert await table.store(KEY, await _answer(table, NEWEST, 4.0), 4.0) is not None
    assert await _state(table) is State.CURRENT


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_lost_mark_is_an_order(redis_url: str, which: int) -> None:
    """Nothing that was read before is current, before and after the mark is made again."""
    async with _redis_marks(redis_url) as (marks, connection):
        table = RedisTable(marks)
        await _stored(table, NEW, 1.0)
        late = await _answer(table, NEW, 2.0)
        names = ("gateway:g2:all", "gateway:g2:p:p1", "gateway:g2:{trn_1}:m")
        await connection.servers.client.delete(names[which])

        assert await _state(table) is State.GONE
        await table.store(KEY, late, 2.0)
        await table.make(KEY)
        assert await _state(table) is State.GONE


async def test_each_step_is_one_round_trip(redis_url: str, written: Written) -> None:
    """A look-up of three marks and an entry, storing after it, and an order."""
    async with _redis_marks(redis_url) as (marks, _):
        await _stored(RedisTable(marks), NEW, 1.0)  # Redis remembers the scripts
        await marks.order("trn_1", None, OLD, is_hard=False)
        facts = await _answer(RedisTable(marks), NEW, 2.0)

        written.clear()
        found = await marks.look_up(KEY)
        assert await marks.store(KEY, found.slot, facts, b"body", now=2.0, keep=60.0)
        await marks.order("trn_1", None, NEW, is_hard=True)

        assert written.total() == 3
