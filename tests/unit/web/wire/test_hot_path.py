"""The short way on one connection: when it is taken, what it leaves alone, and its own table."""

from __future__ import annotations

import gzip

import pytest

from gateway.core.access.caller import Passthrough
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import Outcome
from gateway.web.wire.head_cache import Form
from gateway.web.wire.hot_path import HotPath
from tests.unit.web.planes import PASSTHROUGH, Data, training_reply
from tests.unit.web.wires import Door, get, holding, quiet, statuses

PARTITION = PASSTHROUGH.admit((b"Bearer t-1",)).partition


@pytest.fixture
async def door() -> Door:
    """A connection to a plane that holds `a`."""
    return await holding()


def outcomes(door: Door) -> list[object]:
    """How the requests ended."""
    return [each[0] for each in door.data.observer.of("requested")]


def known(door: Door, head: bytes) -> Form | None:
    """What is remembered of the fields of a head."""
    assert isinstance(door.wire, HotPath)
    return door.wire.blocks.known(head[head.index(b" HTTP/") :])


async def test_a_hit_is_one_write_and_no_request(door: Door) -> None:
    """Counted all the same."""
    before = door.state.total_requests

    door.feed(get("a"))

    assert len(door.line.writes) == 1
    assert statuses(door.line.written) == [b"200"]
    made: tuple[object, object] = (door.wire.cycle, door.wire.scope)
    assert made == (None, None)
    assert not door.state.tasks
    assert door.state.total_requests == before + 1


async def test_a_compressed_hit_is_no_request_either() -> None:
    """Once somebody asked for that form, which the ordinary way made; nothing is compressed, and
    who does not take it is given the other one."""
    door = Door(Data(training_reply("a", words="again and again " * 200)))
    zipped = b"Accept-Encoding: gzip"
    await door.ask(get("a", zipped))
    door.connect()

    for head in (get("a", zipped), get("a")):
        door.feed(head)

    coded, plain = door.line.writes
    assert (b"content-encoding: gzip" in coded, b"content-encoding" in plain) == (True, False)
    body = coded.partition(b"\r\n\r\n")[2]
    assert gzip.decompress(body) == plain.partition(b"\r\n\r\n")[2]
    assert not door.state.tasks


def once(number: int) -> tuple[bytes, ...]:
    """Fields that no other request has."""
    trace = b"traceparent: 00-%032x-%016x-01" % (number + 1, number + 1)
    return b"X-Request-ID: n-%d" % number, trace


@pytest.mark.parametrize("changing", [False, True])
async def test_what_came_three_times_is_not_parsed_again(door: Door, changing: bool) -> None:
    """The same fields say the same, whatever is asked for, and whatever trace they are part of."""
    door.data.upstream.then(training_reply("b"))
    await door.ask(get("b"))
    door.connect()
    for number in range(2):
        door.feed(get("a", *(once(number) if changing else ())))
    door.wire.parser = None  # type: ignore[assignment]

    door.feed(get("b", *(once(3) if changing else ())))

    assert statuses(door.line.written) == [b"200"] * 3
    assert b'"id":"b"' in door.line.writes[-1]
    assert (b"x-request-id: n-3\r\n" in door.line.writes[-1]) == changing


async def test_what_comes_behind_a_head_is_not_part_of_it(door: Door) -> None:
    """Though it looks like a field that is cut out of heads."""
    for number in range(3):
        await door.ask(get("a", *once(number)))
    behind = get("a") + b"X-Request-ID: n\r\n"

    assert statuses(await door.ask(behind)) == [b"200", b"400"]


async def test_no_decision_is_remembered(door: Door) -> None:
    """Who asks and what there is, is looked up for bytes that are known, too."""
    for _ in range(3):
        await door.ask(get("a"))
    assert known(door, get("a")) is not None

    door.data.upstream.then(training_reply("a", words="later"))
    door.data.local.drop(Key(PARTITION, "a"))
    assert b'"later"' in await door.ask(get("a"))
    door.data.upstream.then(training_reply("a", words="another's"))
    door.data.callers.replace(Passthrough("http://elsewhere.test", None, False))
    assert b"another's" in await door.ask(get("a"))


async def test_only_one_whole_head_is_remembered(door: Door) -> None:
    """Neither two at once, nor the end of one, nor what came behind the beginning of another."""
    both, head = get("a") * 2, get("a", b"X: 1")
    for _ in range(3):
        assert statuses(await door.ask(both)) == [b"200", b"200"]
        assert statuses(await door.ask(head[:20], head[20:])) == [b"200"]
        assert statuses(await door.ask(get("a") + head[:20], head[20:])) == [b"200", b"200"]

    for each in (both, head, get("a") + head[:20]):
        assert known(door, each) is None


async def test_a_known_head_is_no_request_amid_another(door: Door) -> None:
    """In the body of a request it is a body."""
    for _ in range(3):
        await door.ask(get("a"))
    body = get("a")
    post = b"PUT /training/a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)

    said = await door.ask(post, body)

    assert statuses(said) == [b"405"]


async def test_nobody_is_overtaken(door: Door) -> None:
    """A hit behind a request that still waits is answered after it."""
    for _ in range(3):
        await door.ask(get("a"))
    door.data.upstream.then(training_reply("b", words="first"))
    door.data.upstream.hold()

    assert await door.ask(get("b"), get("a")) == b""
    door.data.upstream.release()
    await quiet()

    said = door.line.written.split(b"HTTP/1.1 ")[-2:]
    assert b'"first"' in said[0]
    assert b'"id":"a"' in said[1]


async def test_who_does_not_read_is_not_written_to(door: Door) -> None:
    """Back-pressure holds: the answer waits until what was written is taken."""
    for _ in range(3):
        await door.ask(get("a"))
    door.wire.pause_writing()

    for head in (get("a"), get("a", b"X: 1")):
        assert b'"id":"a"' not in await door.ask(head)
    door.wire.resume_writing()
    await quiet()

    assert door.line.written.count(b'"id":"a"') == 5


async def test_who_is_refused_is_answered_no_more(door: Door) -> None:
    """What is known and comes behind nonsense is not even read; nor is a hit written once the
    connection is to close."""
    for _ in range(3):
        await door.ask(get("a"))
    door.line.close()
    door.feed(get("a"))
    assert len(door.line.writes) == 3

    door.connect()
    await door.ask(b"nonsense\r\n\r\n")
    assert await door.ask(get("a")) == b""


async def test_a_drained_connection_is_closed(door: Door) -> None:
    """No hit is ever in flight: it need not wait for one."""
    await door.ask(get("a"))

    door.wire.shutdown()
    await quiet()

    assert door.line.end() == "closed"


async def test_an_unforeseen_failure_goes_the_ordinary_way(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which tells the caller, and counts."""
    monkeypatch.setattr(type(door.data.local), "get", lambda self, key: 1 / 0)

    assert statuses(await door.ask(get("a"))) == [b"500"]
    assert outcomes(door)[1:] == [Outcome.FAILED]
