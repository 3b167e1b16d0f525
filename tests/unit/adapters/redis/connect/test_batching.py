"""Gathering: one question a turn, and nobody hurt by the others."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.redis.connect.batching import Gathering
from gateway.core.cache.entry import Key
from gateway.core.cache.marks import Mark, Marks, Words
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Found

KEYS = [Key("p1", f"trn_{number}") for number in range(500)]


def lookup(_: Key) -> RedisOperation:
    """What is asked for each key."""
    return RedisOperation.LOOKUP


def found_of(key: Key) -> Found:
    """What stands under a key here: its own name, as the word of a mark."""
    return Found(Marks(Mark(Words(key.training_id, "", ""))), None)


class Reader:
    """Answers each question when it is let, and keeps them all."""

    def __init__(self) -> None:
        self.questions: list[list[Key]] = []
        self.may_answer = asyncio.Event()
        self.fault: Exception | None = None

    async def read(self, keys: list[Key]) -> list[Found]:
        self.questions.append(keys)
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        return list(map(found_of, keys))


def gathering_of(reader: Reader) -> Gathering[Key, Found]:
    """With two hundred keys in one question."""
    return Gathering(lookup, reader.read, 200)


async def ask_all(gathering: Gathering[Key, Found], keys: list[Key]) -> list[asyncio.Future[Found]]:
    """One caller a key, all in the same turn, and their question under way."""
    tasks = [gathering.ask(key) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_one_turn_is_one_question() -> None:
    """Each gets what stands under its own key."""
    reader = Reader()
    reader.may_answer.set()

    answers = await asyncio.gather(*await ask_all(gathering_of(reader), KEYS[:10]))

    assert answers == [found_of(key) for key in KEYS[:10]]
    assert reader.questions == [KEYS[:10]]


async def test_one_turn_takes_one_task() -> None:
    """Not one for each key."""
    reader = Reader()
    before = len(asyncio.all_tasks())

    answers = await ask_all(gathering_of(reader), KEYS[:64])

    assert len(asyncio.all_tasks()) == before + 1
    reader.may_answer.set()
    assert len(await asyncio.gather(*answers)) == 64


async def test_nobody_waits_for_a_question_that_hangs() -> None:
    """What comes later is a question of its own."""
    reader = Reader()
    gathering = gathering_of(reader)
    tasks = await ask_all(gathering, KEYS[:1])

    tasks += await ask_all(gathering, KEYS[1:2])

    assert reader.questions == [KEYS[:1], KEYS[1:2]]
    reader.may_answer.set()
    await asyncio.gather(*tasks)


async def test_many_keys_are_several_questions() -> None:
    """So that each answer still fits into the patience."""
    reader = Reader()
    reader.may_answer.set()

    await asyncio.gather(*await ask_all(gathering_of(reader), KEYS))

    assert [len(question) for question in reader.questions] == [200, 200, 100]


async def test_who_leaves_does_not_hurt_the_others() -> None:
    """Not even the first."""
    reader = Reader()
    leaver, stayer = await ask_all(gathering_of(reader), KEYS[:2])

    leaver.cancel()
    reader.may_answer.set()

    assert await stayer == found_of(KEYS[1])
    assert leaver.cancelled()


async def test_what_nobody_waits_for_is_not_asked() -> None:
    """Who left before the question was put: it might do something by then that nobody wants."""
    reader = Reader()
    gathering = gathering_of(reader)
    first, gone = gathering.ask(KEYS[0]), gathering.ask(KEYS[1])
    gone.cancel()
    reader.may_answer.set()

    assert await first == found_of(KEYS[0])
    assert reader.questions == [KEYS[:1]]


async def test_a_turn_that_everyone_left_is_no_question() -> None:
    """And the next one is asked as ever."""
    reader = Reader()
    gathering = gathering_of(reader)
    reader.may_answer.set()
    for gone in (gathering.ask(KEYS[0]), gathering.ask(KEYS[1])):
        gone.cancel()
    await asyncio.sleep(0)

    assert await gathering.ask(KEYS[2]) == found_of(KEYS[2])
    assert reader.questions == [[KEYS[2]]]


async def test_a_failure_names_what_was_asked() -> None:
    """And says why."""
    reader = Reader()
    reader.fault = RedisUnavailable("lookup", "TimeoutError")
    reader.may_answer.set()
    operations = {KEYS[0]: RedisOperation.LEASE, KEYS[1]: RedisOperation.STORE}
    gathering = Gathering(operations.__getitem__, reader.read, 200)

    faults = await asyncio.gather(*map(gathering.ask, KEYS[:2]), return_exceptions=True)

    assert [str(fault) for fault in faults] == [
        "the Redis operation lease failed: TimeoutError",
        "the Redis operation store failed: TimeoutError",
    ]
    assert [getattr(fault, "why", "") for fault in faults] == ["TimeoutError"] * 2


async def test_a_failure_is_told_to_everyone() -> None:
    """As an error of their own, which says where it came from."""
    reader = Reader()
    reader.fault = RedisUnavailable("lookup", "TimeoutError")
    reader.may_answer.set()

    faults = await asyncio.gather(
        *await ask_all(gathering_of(reader), KEYS[:2]), return_exceptions=True
    )

    assert [type(fault) for fault in faults] == [RedisUnavailable] * 2
    assert faults[0] is not faults[1]
    assert isinstance(faults[0], RedisUnavailable)
    assert faults[0].__cause__ is reader.fault


async def test_closing_ends_what_is_under_way_and_what_waits() -> None:
    """Nobody waits for ever."""
    reader = Reader()
    gathering = gathering_of(reader)
    tasks = await ask_all(gathering, KEYS[:1])
    tasks.append(gathering.ask(KEYS[1]))

    await gathering.close()

    for task in tasks:
        with pytest.raises(asyncio.CancelledError):
            await task
    assert reader.questions == [KEYS[:1]]
