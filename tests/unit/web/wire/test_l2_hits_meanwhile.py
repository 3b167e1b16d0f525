"""A connection while something is looked up for it: what comes behind, who does not read."""

from __future__ import annotations

import re

from gateway.core.cache.entry import Key
from tests.doubles.shared import InMemoryShared
from tests.unit.web.planes import PASSTHROUGH, training_reply
from tests.unit.web.redis_alone import redis_of, world
from tests.unit.web.wires import get, quiet

PARTITION = PASSTHROUGH.admit((b"Bearer t-1",)).partition


async def test_what_stands_behind_is_answered_when_the_plane_ends() -> None:
    """Though L1 came to have it meanwhile, so that it is a hit."""
    door = await world()
    redis = redis_of(door)
    redis.open.clear()
    for _ in range(2):
        door.wire.data_received(get("a"))
    found = await InMemoryShared.lookup(redis, Key(PARTITION, "a"))
    assert found.entry is not None
    held = door.data.tiers.render(found.entry, door.data.clock.monotonic())
    door.data.local.put(Key(PARTITION, "a"), held)

    door.wire.shutdown()
    assert not door.line.is_closing()
    redis.open.set()
    await quiet()

    first, last = door.line.written.split(b"HTTP/1.1 200 ")[1:]
    assert b"connection: close" not in first
    assert b"connection: close" in last
    assert door.line.end() == "closed"


async def test_who_stops_reading_meanwhile_is_sent_that_one() -> None:
    """And no hits behind it."""
    door = await world()
    redis_of(door).open.clear()
    door.wire.data_received(get("a"))
    door.wire.pause_writing()
    redis_of(door).open.set()
    await quiet()
    assert len(door.line.writes) == 1

    for _ in range(3):
        door.feed(get("a"))

    written = len(door.line.writes)
    door.wire.resume_writing()
    await quiet()
    assert written == 1


async def test_answers_come_in_order() -> None:
    """What comes behind waits, whatever it is."""
    door = await world()
    redis_of(door).open.clear()
    half = get("a", b"X: 1")

    assert await door.ask(get("a"), get("a") + half[:20], half[20:]) == b""
    redis_of(door).open.set()
    await quiet()

    details = re.findall(rb"detail=(l\d)", door.line.written)
    assert details == [b"l2", b"l1", b"l1"]


async def test_nothing_is_read_meanwhile() -> None:
    """So that nobody can make it keep more than arrived at once."""
    door = await world()
    redis_of(door).open.clear()
    await door.ask(get("a"))
    assert door.wire.flow.read_paused

    redis_of(door).open.set()
    await quiet()

    assert not door.wire.flow.read_paused


async def test_a_hit_before_it_lets_nobody_pass() -> None:
    """A connection that has just had one is quiet no longer once something is looked up for it."""
    door = await world()
    await door.ask(get("a"))
    door.data.upstream.then(training_reply("b"))
    await door.ask(get("a"), get("a"))
    redis_of(door).open.clear()
    before = len(door.line.written)

    door.feed(get("b"))
    door.feed(get("a"))

    assert door.line.written[before:] == b""
    redis_of(door).open.set()
    await quiet()
    assert re.findall(rb'"id":"(.)"', door.line.written[before:]) == [b"b", b"a"]


async def test_what_l1_may_answer_with_is_looked_up_nowhere() -> None:
    """Until nobody has confirmed it for long."""
    door = await world()
    await door.ask(get("a"))
    key = Key(PARTITION, "a")
    assert door.data.serving.beyond(key) is None

    door.data.clock.advance(20.0)
    flight = door.data.serving.beyond(key)

    assert flight is not None
    assert await flight.join() is not None
    assert door.data.serving.beyond(key) is None
