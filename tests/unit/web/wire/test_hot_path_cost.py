"""What a plain hit costs, counted: calls of Python functions, memory, writes, questions.

Counts do not depend on the machine. A bound that is passed is a reason to look at what was
added to every hit, and to move the bound only with a measurement (`make bench`).
"""

from __future__ import annotations

import gc
import itertools
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from types import FrameType

import pytest

from gateway.adapters.telemetry.access_log import AccessLog
from gateway.adapters.telemetry.log_lines import Lines
from gateway.adapters.telemetry.observer import Telemetry
from gateway.core.access import registry as remembered
from gateway.core.cache.entry import Key
from gateway.core.http.fields import Reply
from gateway.flow.cache.l1_revalidation import Confirming
from gateway.ports import SharedStore
from gateway.web.wire.head_cache import Blocks
from tests.doubles.stored import entry_of, held_of
from tests.unit.web.planes import PASSTHROUGH, Data, training_reply
from tests.unit.web.wires import Door, get

KEY = Key(PASSTHROUGH.admit((b"Bearer t-1",)).partition, "a")
TAG = b'"tag-a"'

# Python functions entered by one hit: its fields those of the hit before, the same but for a trace
# and an id, those of an earlier one, the first hit of an entry in a second, and parsed. Of these,
# two write it at once, where nobody else asks.
MOST_WHEN_REPEATED = 8
MOST_WHEN_CHANGING = 11
MOST_WHEN_KNOWN = 8
MOST_WHEN_PREPARED = 33
MOST_WHEN_PARSED = 37


class Sink:
    """A log file."""

    def write(self, line: bytes, /) -> None:
        """Nobody reads it."""


class Asked:
    """Redis that is there, and counts whether anybody asks it anything."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.holds_bodies = self.is_up = True

    def __getattr__(self, name: str) -> object:
        self.questions.append(name)
        raise AssertionError(f"a hit asked Redis: {name}")


@pytest.fixture
async def door() -> Door:
    """A connection to a plane that holds `a`, with real counters and a real access log."""
    data = Data(training_reply("a", (b"etag", TAG)))
    telemetry = Telemetry(data.clock)
    data.plane._observer = telemetry.requests
    data.plane._access_log = AccessLog(Lines("json", data.clock.now, Sink()))
    door = Door(data)
    for _ in range(5):
        await door.ask(get("a"))
    data.clock.advance(0.3)
    await door.ask(get("a"))
    door.connect()
    door.feed(get("a"))
    return door


def calls_of(action: Callable[[], None]) -> list[str]:
    """The Python functions that it enters."""
    entered: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            entered.append(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}")

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return entered[:]


def changing() -> Callable[[], bytes]:
    """Heads that never repeat."""
    numbers = itertools.count()
    return lambda: get(
        "a",
        b"traceparent: 00-%032x-%016x-01" % (number := next(numbers) + 1, number),
        b"X-Request-ID: %032x" % number,
    )


def callers(door: Door, number: int) -> list[bytes]:
    """Heads of so many callers, whose answers L1 has."""
    data, heads = door.data, []
    data.local._max_bytes = 100_000_000
    for each in range(number):
        token = b"Bearer t-%d" % each
        entry = entry_of(body=b"of %d" % each).but(confirmed_at=data.clock.now() - 0.3)
        data.local.put(Key(PASSTHROUGH.admit((token,)).partition, "a"), held_of(entry))
        heads.append(get("a").replace(b"Bearer t-1", token))
    return heads


def ours(door: Door, head: bytes) -> list[str]:
    """The functions of the house, and of uvicorn, that it enters."""
    calls = calls_of(lambda: door.wire.data_received(head))
    door.end_turn()
    return [name for name in calls if not name.startswith(("tests.", "asyncio."))]


async def test_a_head_that_repeats_costs_few_calls(door: Door) -> None:
    """Access, look-up, confirmation, freshness and counting, all of them."""
    calls = ours(door, get("a"))

    assert len(calls) <= MOST_WHEN_REPEATED, calls


async def test_a_head_that_changes_costs_few_more(door: Door) -> None:
    """What is new with each request is cut out, not parsed."""
    make = changing()
    for _ in range(4):
        door.feed(make())

    calls = ours(door, make())

    assert len(calls) <= MOST_WHEN_CHANGING, calls


async def test_a_stale_hit_costs_as_few(door: Door) -> None:
    """While its refresh is under way: nobody who reads it would start anything."""
    door.data.clock.advance(31.0)
    door.data.upstream.hold()
    door.feed(get("a"))
    held = door.data.local.peek(KEY)
    assert held is not None
    reads = held.reads

    calls = ours(door, get("a"))

    assert len(calls) <= MOST_WHEN_REPEATED + 2, calls  # its age is noted
    assert held.reads == reads + 1  # what is read most is refreshed first
    assert b"detail=stale-refreshing" in door.line.written[-400:]
    door.data.upstream.release()


async def test_a_rescue_costs_few_more(door: Door) -> None:
    """Past the window of refreshes, while the training is left alone after a failure."""
    door.data.clock.advance(400.0)
    door.data.upstream.always = Reply(500, (), b"")
    await door.ask(get("a"))
    door.feed(get("a"))  # the example of its kind in the log
    calls_made = door.data.upstream.count

    calls = ours(door, get("a"))

    # Its age is noted, and the log counts it.
    assert len(calls) <= MOST_WHEN_REPEATED + 6, calls
    assert b"detail=stale-error" in door.line.written[-400:]
    assert door.data.upstream.count == calls_made


async def test_an_entry_is_judged_and_rendered_once_in_a_second(door: Door) -> None:
    """At most twice: when its age changes, and when its time left does."""
    door.data.clock.advance(1.0)

    calls = ours(door, get("a"))
    assert len(calls) <= MOST_WHEN_PREPARED, calls

    door.data.clock.advance(0.1)
    assert len(ours(door, get("a"))) <= MOST_WHEN_REPEATED


async def test_a_head_that_is_new_costs_a_call_a_field(door: Door) -> None:
    """And what reads them."""
    calls = ours(door, get("a", b"X-New: 1"))

    assert len(calls) <= MOST_WHEN_PARSED, calls


async def test_thousands_of_callers_cost_no_more_than_one(door: Door) -> None:
    """Each has a credential, a block of fields and an entry of its own, and all ask in turn."""
    heads = callers(door, 4_500)
    before = len(door.line.writes)
    for head in heads * 2:
        door.feed(head)
    assert len(door.line.writes) == before + 9_000

    calls = [name for head in heads[:200] for name in ours(door, head)]

    assert len(calls) <= 201 * MOST_WHEN_KNOWN, Counter(calls)


async def test_more_callers_than_are_remembered_are_answered_all_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the short way, each with what is its own; the tables do not grow."""
    monkeypatch.setattr(remembered, "_MOST", 50)
    blocks = Blocks(frozenset(), max_head=8_000, max_fields=30, most=50)
    door.kind.blocks = blocks  # type: ignore[attr-defined]
    heads = callers(door, 300)

    before = len(door.line.writes)
    for head in heads * 3:
        door.feed(head)

    bodies = [answer.rpartition(b"\r\n\r\n")[2] for answer in door.line.writes[before:]]
    assert bodies == [b"of %d" % number for number in range(300)] * 3
    assert len(blocks._known) <= 50
    assert len(blocks._seen) <= 50
    assert len(door.data.callers._known) <= 50


@pytest.mark.parametrize("kind", ["known", "changing", "not-modified"])
async def test_a_hit_is_one_write_and_asks_nobody(door: Door, kind: str) -> None:
    """Whatever its head; with a Redis that would tell on whoever asks."""
    redis = Asked()
    _confirm_with(door, redis)
    heads: dict[str, Callable[[], bytes]] = {
        "known": lambda: get("a"),
        "changing": changing(),
        "not-modified": lambda: get("a", b"If-None-Match: " + TAG),
    }
    make, before = heads[kind], len(door.line.writes)

    for _ in range(20):
        door.feed(make())

    assert len(door.line.writes) == before + 20
    assert redis.questions == []


@pytest.mark.parametrize("kind", ["known", "changing"])
async def test_a_hit_leaves_nothing_behind(door: Door, kind: str) -> None:
    """No memory is kept for it, and the collector is given no reason to run."""
    make = changing() if kind == "changing" else lambda: get("a")
    door.line.write = lambda data: None  # type: ignore[method-assign]
    heads = [make() for _ in range(4_000)]
    for head in heads[:2_000]:
        door.feed(head)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before, tracked = tracemalloc.get_traced_memory()[0], gc.get_count()[0]
        for head in heads[2_000:]:
            door.feed(head)
        grown = tracemalloc.get_traced_memory()[0] - before
        left = gc.get_count()[0] - tracked
    finally:
        tracemalloc.stop()
        gc.enable()

    assert grown < 20_000
    assert left < 100


def _confirm_with(door: Door, redis: Asked) -> None:
    """Let L1 be confirmed by that Redis, as it is where there is one."""
    tiers = door.data.serving._tiers
    held = door.data.local.peek(KEY)
    assert held is not None
    held.checked_at = door.data.clock.monotonic()
    confirming: Confirming = tiers.confirming
    confirming._shared = _as_store(redis)


def _as_store(redis: Asked) -> SharedStore:
    store: SharedStore = redis  # type: ignore[assignment]
    return store
