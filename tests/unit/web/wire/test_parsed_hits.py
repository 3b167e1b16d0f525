"""Hits whose head is parsed: answered within the parser's callbacks."""

from __future__ import annotations

import inspect

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.unit.web.planes import training_reply
from tests.unit.web.wires import LIMITS, Door, get, holding, quiet, statuses


@pytest.fixture
async def door() -> Door:
    """A connection to a plane that holds `a`."""
    return await holding()


def look(door: Door, times: int = 1) -> None:
    """Look after it so many times, as the server does once a second."""
    for _ in range(times):
        door.wire.look()


def timer(door: Door) -> object:
    """What would close the connection by itself."""
    return door.wire.timeout_keep_alive_task


def test_the_parent_has_the_shape_that_we_rely_on() -> None:
    """Read against uvicorn 0.54, beside what test_wire says."""
    begin = inspect.getsource(HttpToolsProtocol.on_message_begin)
    lines = [line.strip() for line in begin.splitlines()[1:4]]
    assert lines == ['self.url = b""', "self.expect_100_continue = False", "self.headers = []"]
    assert '"headers": self.headers,' in begin
    complete = inspect.getsource(HttpToolsProtocol.on_response_complete)
    assert "self.server_state.total_requests += 1" in complete
    assert "self.timeout_keep_alive_task = self.loop.call_later(" in complete
    closing = inspect.getsource(HttpToolsProtocol.shutdown)
    assert "if self.cycle is None or self.cycle.response_complete:" in closing
    assert "self.write_paused = " in inspect.getsource(FlowControl)
    header = inspect.getsource(HttpToolsProtocol.on_header)
    assert "name = name.lower()" in header
    assert "self.headers.append((name, value))" in header


async def test_a_head_that_is_new_is_answered_at_once(door: Door) -> None:
    """Alone, and in pieces: written when its last byte is read, without a request."""
    door.wire.data_received(get("a", b"X-New: 1"))
    assert statuses(door.line.written) == [b"200"]

    door.wire.data_received(get("a", b"X-New: 2")[:30])
    assert len(door.line.writes) == 1
    door.wire.data_received(get("a", b"X-New: 2")[30:])
    assert statuses(door.line.written) == [b"200"] * 2
    made: tuple[object, object] = (door.wire.cycle, door.wire.scope)
    assert made == (None, None)


async def test_an_idle_connection_is_closed_in_time(door: Door) -> None:
    """From the first look after the last hit; a hit ends the time that Starlette's way set."""
    await door.ask(get("a", b"Content-Length: 0"))
    assert timer(door) is not None
    door.wire.data_received(get("a"))
    assert timer(door) is None

    look(door, door.wire.timeout_keep_alive)
    assert door.line.end() == ""
    look(door)
    await quiet()
    assert door.line.end() == "closed"


async def test_a_request_that_waits_at_the_idle_timeout_is_answered(door: Door) -> None:
    """It was sent in time, and is read in the next turn of the event loop. The connection has
    served hits of a known head before, and stays open."""
    for _ in range(4):
        door.feed(get("a"))

    look(door, door.wire.timeout_keep_alive + 1)
    door.feed(get("a"))
    await quiet()
    look(door)
    await quiet()

    assert statuses(door.line.written) == [b"200"] * 5
    assert door.line.end() == ""


async def test_a_request_in_two_pieces_leaves_the_connection_idle(door: Door) -> None:
    """Nothing more is due then: the connection has the time of an idle one, not that of a head."""
    await door.ask(get("a")[:10])
    look(door)
    await door.ask(get("a")[10:])

    assert statuses(door.line.written) == [b"200"]
    assert not door.wire.is_new
    look(door, round(LIMITS.head_timeout) + 1)
    assert door.line.end() == ""


async def test_who_begins_a_request_is_not_idle(door: Door) -> None:
    """It has the time of a head from then on."""
    await door.ask(get("a"))
    look(door)
    await door.ask(get("a")[:10])

    look(door, door.wire.timeout_keep_alive + 2)
    assert door.line.end() == ""
    look(door, round(LIMITS.head_timeout) - door.wire.timeout_keep_alive)
    assert statuses(door.line.written) == [b"200", b"408"]


async def test_who_waits_behind_a_hit_is_not_idle(door: Door) -> None:
    """Both requests came at once, and the API answers the second after the idle timeout."""
    door.data.upstream.then(training_reply("b"))
    door.data.upstream.hold()
    await door.ask(get("a") + get("b"))

    look(door, door.wire.timeout_keep_alive + 1)
    await quiet()
    door.data.upstream.release()
    await quiet()

    assert statuses(door.line.written) == [b"200"] * 2
    assert door.line.end() == ""
