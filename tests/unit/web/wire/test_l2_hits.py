"""What only Redis has, answered without a request: as Starlette's way would, in order, or not."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType

import pytest

from gateway.core.access.caller import Passthrough
from gateway.core.budget.window_log import Rate
from gateway.core.cache.entry import Key
from gateway.core.errors import UpstreamUnreachable
from gateway.core.vocabulary import FailureReason, Outcome, Part, Tier
from gateway.web.wire.hot_path import HotPath
from tests.unit.web.planes import PASSTHROUGH, training_reply
from tests.unit.web.redis_alone import (
    TAG,
    ended,
    is_without_request,
    landed,
    redis_of,
    world,
)
from tests.unit.web.wires import get, quiet

PARTITION = PASSTHROUGH.admit((b"Bearer t-1",)).partition
# Python functions entered by one that Redis has.
MOST_CALLS = 164
UNCOUNTED = ("asyncio", "hypothesis", "selectors", "tests")


async def test_what_redis_has_is_answered_without_a_request() -> None:
    """One look-up, one write, told and counted as a hit in L2; in L1 from then on."""
    door = await world()
    before = door.state.total_requests

    said = await door.ask(get("a"))

    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"detail=l2\r\n" in said
    assert b"age: 1\r\n" in said
    assert (len(door.line.writes), redis_of(door).asked) == (1, ["a"])
    assert is_without_request(door)
    assert door.state.total_requests == before + 1
    assert ended(door)[-1] == (Outcome.FRESH, Tier.L2)
    assert b"detail=l1\r\n" in await door.ask(get("a"))


async def test_what_nobody_read_for_long_is_confirmed_without_a_request() -> None:
    """L1 has it, and may not answer before Redis did; requests meanwhile wait for the same."""
    door = await world()
    await door.ask(get("a"))
    lines = [door.line]
    door.data.clock.advance(20.0)  # fresh still, but beyond `l1.lifetime`
    redis_of(door).asked.clear()
    for _ in range(2):
        door.connect()
        lines.append(door.line)
        door.wire.data_received(get("a"))
    await quiet()

    assert [b"detail=l1\r\n" in line.writes[-1] for line in lines[1:]] == [True, True]
    assert is_without_request(door)
    assert redis_of(door).asked == []  # no body was read
    assert ended(door)[-2:] == [(Outcome.FRESH, Tier.L1)] * 2


@pytest.mark.parametrize("rate", [None, Rate(40, 60.0)], ids=["unbounded", "bounded"])
@pytest.mark.parametrize(
    "fields",
    [(), (b"If-None-Match: " + TAG,), (b"Accept-Encoding: gzip",)],
    ids=["plain", "conditional", "gzip"],
)
async def test_both_ways_say_the_same(fields: tuple[bytes, ...], rate: Rate | None) -> None:
    """Bytes, metrics, access lines, look-ups."""
    short, long = await world(rate=rate), await world(short=False, rate=rate)

    said, expected = await short.ask(get("a", *fields)), await long.ask(get("a", *fields))

    assert said == expected
    assert is_without_request(short)
    assert not is_without_request(long)
    assert short.data.observer.calls == long.data.observer.calls
    assert short.data.access_log.lines == long.data.access_log.lines
    assert redis_of(short).asked == redis_of(long).asked == ["a"]


async def test_what_cannot_be_written_is_charged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the way that answers it after that."""
    short, long = [await world(short=short, rate=Rate(40, 60.0)) for short in (True, False)]
    monkeypatch.setattr("gateway.web.wire.hits.render", lambda *_: 1 / 0)

    said = await short.ask(get("a"))

    assert said.replace(b"detail=l1", b"detail=l2") == await long.ask(get("a"))


async def test_what_is_stale_is_answered_and_refreshed() -> None:
    """As anywhere else."""
    door = await world()
    door.data.clock.advance(60.0)
    door.data.upstream.then(training_reply("a", words="later"))

    said = await door.ask(get("a"))

    assert b"detail=stale-refreshing\r\n" in said
    assert is_without_request(door)
    assert b'"later"' in await door.ask(get("a"))


async def test_what_redis_lacks_is_fetched_and_looked_up_once() -> None:
    """The request that is made of it finds the look-up that ended."""
    door = await world()
    door.data.upstream.then(training_reply("b"))

    said = await door.ask(get("b"))

    assert b"fwd=uri-miss; fwd-status=200; stored\r\n" in said
    assert redis_of(door).asked == ["b"]
    assert b"detail=l1\r\n" in await door.ask(get("b"))


async def test_an_absent_redis_is_asked_once() -> None:
    """Waiting for it twice would be twice its patience."""
    door = await world()
    redis_of(door).is_away = True
    door.data.upstream.then(training_reply("a", words="anew"))

    assert b'"anew"' in await door.ask(get("a"))
    assert redis_of(door).asked == ["a"]


async def test_who_comes_later_does_not_find_it() -> None:
    """Only what began in the same turn of the loop joins what has landed."""
    door = await world()
    redis_of(door).is_away = True
    door.data.upstream.then(training_reply("b"), training_reply("b"))
    await door.ask(get("b"))
    for key in door.data.local.keys(training_ids={"b"}):
        door.data.local.drop(key)

    await door.ask(get("b"))

    assert redis_of(door).asked == ["b", "b"]


async def test_who_leaves_is_not_answered() -> None:
    """Nor does it take the look-up along."""
    door = await world()
    redis_of(door).open.clear()
    await door.ask(get("a"))
    door.line.close()
    door.wire.connection_lost(None)
    other = door.line
    door.connect()
    await door.ask(get("a"))

    redis_of(door).open.set()
    await quiet()

    assert other.writes == []
    assert len(door.line.writes) == 1
    assert redis_of(door).asked == ["a"]


async def test_a_drain_waits_for_the_answer() -> None:
    """And closes the connection behind it."""
    door = await world()
    redis_of(door).open.clear()
    await door.ask(get("a"))

    door.wire.shutdown()
    assert not door.line.is_closing()
    redis_of(door).open.set()
    await quiet()

    assert door.line.written.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in door.line.written.lower()
    assert door.line.end() == "closed"
    assert redis_of(door).asked == ["a"]


async def test_who_may_ask_is_looked_up_again() -> None:
    """Whose credential stands for something else by then is not given what it stood for."""
    door = await world()
    redis_of(door).open.clear()
    await door.ask(get("a"))
    door.data.callers.replace(Passthrough("http://elsewhere.test", None, False))
    door.data.upstream.then(training_reply("a", words="another's"))

    redis_of(door).open.set()
    await quiet()

    assert b"another's" in door.line.written
    assert b"again and again" not in door.line.written


async def test_an_order_meanwhile_is_heeded() -> None:
    """What was looked up before it is not given after it."""
    door = await world()
    redis_of(door).open.clear()
    await door.ask(get("a"))
    key = Key(PARTITION, "a")
    door.data.serving.forget(lambda each: each == key, known=True)
    await door.data.shared.drop(key)
    door.data.upstream.then(training_reply("a", words="later"))

    redis_of(door).open.set()
    await quiet()

    assert b'"later"' in door.line.written


async def test_nobody_is_asked_in_vain() -> None:
    """Neither for what is no id, nor for what is being fetched."""
    door = await world()
    for target in ("..", "x" * 129):
        await door.ask(get(target))
    assert redis_of(door).asked == []
    door.data.upstream.hold()
    door.data.upstream.then(training_reply("b"))
    await door.ask(get("b"))
    door.connect()
    redis_of(door).asked.clear()
    await door.ask(get("b"))
    assert len(redis_of(door).asked) <= 1
    door.data.upstream.release()


async def test_an_unforeseen_failure_goes_the_ordinary_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged; the caller notices nothing."""
    door = await world()

    def fail(_name: str) -> None:
        raise ValueError("no such thing")

    assert door.wire.lookups  # type: ignore[attr-defined]
    monkeypatch.setattr(door.wire.lookups._hits, "labels", fail)  # type: ignore[attr-defined]

    said = await door.ask(get("a"))

    assert said.startswith(b"HTTP/1.1 200 ")
    assert "the hot path could not answer from Redis" in caplog.text


async def test_it_costs_few_calls() -> None:
    """Python functions entered from the head's bytes to the answer's, the loop's own aside: counts
    do not depend on the machine. Starlette's way enters twice as many."""
    door = await world()
    entered: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        module = str(frame.f_globals.get("__name__"))
        if event == "call" and not module.startswith(UNCOUNTED):
            entered.append(f"{module}.{frame.f_code.co_qualname}")

    sys.setprofile(note)
    try:
        await door.ask(get("a"))
    finally:
        sys.setprofile(None)

    assert len(door.line.writes) == 1
    assert len(entered) <= MOST_CALLS, entered


async def test_who_may_not_ask_does_not_ask_redis() -> None:
    """A caller beyond its own rate is told so, for ids of its choice as well."""
    door = await world(rate=Rate(10, 60.0))
    while b" 429 " not in await door.ask(get("a")):
        pass
    redis_of(door).asked.clear()

    for number in range(5):
        assert b" 429 " in await door.ask(get(f"x{number}"))

    assert redis_of(door).asked == []


async def test_several_who_wait_look_up_once() -> None:
    """However many requests are made of them in the end."""
    door = await world()
    redis_of(door).open.clear()
    door.data.upstream.then(training_reply("b"))
    lines = []
    for _ in range(3):
        door.connect()
        lines.append(door.line)
        door.wire.data_received(get("b"))

    redis_of(door).open.set()
    await quiet()

    assert [line.written[:12] for line in lines] == [b"HTTP/1.1 200"] * 3
    assert redis_of(door).asked == ["b"]


async def test_what_was_purged_is_not_found_any_more() -> None:
    """Not by who asks after the purge, though somebody waited for what had landed before it."""
    door = await world()
    door.data.clock.advance(1_000.0)  # it may rescue, and nothing else
    redis_of(door).open.clear()
    await door.ask(get("a"))
    assert isinstance(door.wire, HotPath)
    assert door.wire._awaited is not None
    flight = door.wire._awaited.look_up.flight
    redis_of(door).open.set()
    await landed(flight)

    door.data.serving.forget(lambda _: True)
    door.data.tiers.purge_local(None, soft=False)
    redis_of(door).open.clear()
    redis_of(door).asked.clear()
    door.data.upstream.then(*[UpstreamUnreachable("gone", FailureReason.CONNECT, sent=True)] * 3)
    door.connect()
    loop = asyncio.get_running_loop()
    loop.call_soon(door.wire.data_received, get("a"))
    await quiet()

    assert redis_of(door).asked[-1:] == ["a"]
    assert door.line.written == b""
    redis_of(door).open.set()


async def test_nobody_is_told_to_have_waited_before_it_came() -> None:
    """Of a look-up that it joined."""
    door = await world()
    redis_of(door).open.clear()
    await door.ask(get("a"))
    door.data.clock.advance(0.25)
    door.connect()
    await door.ask(get("a"))
    door.data.clock.advance(0.5)

    redis_of(door).open.set()
    await quiet()

    parts = [line.parts for line in door.data.access_log.lines[-2:]]
    assert parts == [{Part.LOOKUP: 0.75}, {Part.LOOKUP: 0.5}]


async def test_what_cannot_go_on_is_cut(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rather than left with nobody to read on."""
    door = await world()
    redis_of(door).open.clear()
    await door.ask(get("a"))

    def fail(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(door.wire, "_parse", fail)
    monkeypatch.setattr(type(door.wire.lookups), "answer", lambda *_: None)  # type: ignore[attr-defined]
    redis_of(door).open.set()
    await quiet()

    assert door.line.end() == "aborted"
    assert "a request failed after a look-up" in caplog.text
