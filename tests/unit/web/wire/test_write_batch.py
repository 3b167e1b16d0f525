"""Answers of one turn: written at its end, in order, before anything else that is written."""

from __future__ import annotations

import asyncio

import pytest

from gateway.web.wire import hot_path as module
from gateway.web.wire.hot_path import Outbox
from tests.unit.web.planes import Data, training_reply
from tests.unit.web.wires import Door, Line, get, quiet


@pytest.fixture
async def door() -> Door:
    """A connection that has had a hit."""
    door = Door(Data(training_reply("a")))
    for _ in range(3):
        await door.ask(get("a"))
    door.line.writes.clear()
    return door


def statuses(door: Door) -> list[bytes]:
    """Of what was written."""
    return [answer[9:12] for answer in door.line.writes]


async def test_all_of_a_turn_are_written_at_its_end() -> None:
    """To each his own, in the order in which they were handed in."""
    outbox, lines = Outbox(), [Line(), Line()]
    for number in range(4):
        outbox.put(lines[number % 2], b"%d" % number)
    assert [line.writes for line in lines] == [[], []]

    await asyncio.sleep(0)

    assert [line.writes for line in lines] == [[b"0", b"2"], [b"1", b"3"]]
    outbox.put(lines[0], b"4")
    await asyncio.sleep(0)
    assert lines[0].writes[-1] == b"4"


async def test_who_asks_alone_does_not_wait() -> None:
    """After a turn with one answer the next ones are written at once, until it is tried again."""
    outbox, line, ended = Outbox(), Line(), []
    for number in range(3 * (module._ALONE + 1)):
        outbox.put(line, b"%d" % number)
        ended.append(len(line.writes) <= number)
        await asyncio.sleep(0)

    assert ended.count(True) == 3
    assert line.writes == [b"%d" % number for number in range(len(ended))]

    outbox.put(line, b"alone")
    await asyncio.sleep(0)
    for _ in range(module._ALONE + 5):
        outbox.put(line, b"of many")
    assert len(line.writes) == len(ended) + 1 + module._ALONE
    await asyncio.sleep(0)
    assert len(line.writes) == len(ended) + 1 + module._ALONE + 5
    outbox.put(line, b"of many")
    assert len(line.writes) == len(ended) + 1 + module._ALONE + 5


async def test_much_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large bodies for thousands would be gigabytes."""
    monkeypatch.setattr(module, "_MOST", 100)
    outbox, line = Outbox(), Line()

    for _ in range(3):
        outbox.put(line, b"x" * 40)

    assert len(line.writes) == 3


async def test_who_has_gone_is_sent_nothing() -> None:
    """And the others are."""
    outbox, gone, there = Outbox(), Line(), Line()
    outbox.put(gone, b"1")
    outbox.put(there, b"2")
    gone.abort()

    outbox.flush()

    assert (gone.writes, there.writes) == ([], [b"2"])


async def test_one_that_cannot_be_written_to_is_no_fault_of_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is cut off and logged; the code that flushes hears nothing."""

    class Broken(Line):
        def write(self, data: bytes | bytearray | memoryview[int]) -> None:
            raise RuntimeError("no more")

    outbox, broken, there = Outbox(), Broken(), Line()
    outbox.put(broken, b"1")
    outbox.put(there, b"2")

    outbox.flush()

    assert there.writes == [b"2"]
    assert broken.end() == "aborted"
    assert "could not be written" in caplog.text


async def test_what_comes_behind_a_hit_is_answered_behind_it(door: Door) -> None:
    """In the same turn: nonsense, which is answered at once; a request; another hit."""
    door.wire.data_received(get("a"))
    door.wire.data_received(get("a"))
    door.wire.data_received(get("a", b"Content-Length: 0"))
    await quiet()
    assert statuses(door)[:3] == [b"200"] * 3
    assert door.line.written.count(b'"id":"a"') == 3

    door.line.writes.clear()
    door.wire.data_received(get("a"))
    door.wire.data_received(b"nonsense\r\n\r\n")
    assert statuses(door) == [b"200", b"400"]


async def test_who_hangs_up_behind_a_hit_has_it(door: Door) -> None:
    """A caller that says at once that nothing more comes; a plane that ends."""
    door.wire.data_received(get("a"))
    door.wire.eof_received()
    assert statuses(door) == [b"200"]

    door.wire.data_received(get("a"))
    door.wire.shutdown()
    assert statuses(door) == [b"200"] * 2
    await quiet()
    assert door.line.end() == "closed"


async def test_who_turns_out_not_to_read_is_sent_no_more(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though what waited was so much that it was written, and refused, while it was handed in."""
    monkeypatch.setattr(module, "_MOST", 10)
    door.connect()
    write = door.line.write

    def full(data: bytes | bytearray | memoryview[int]) -> None:
        write(data)
        door.wire.pause_writing()

    monkeypatch.setattr(door.line, "write", full)
    for _ in range(5):
        door.wire.data_received(get("a"))

    written = statuses(door)
    monkeypatch.setattr(door.line, "write", write)
    door.wire.resume_writing()
    await quiet()
    assert written == [b"200"]
