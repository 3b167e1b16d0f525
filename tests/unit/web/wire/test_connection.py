"""The door on the wire: what it relies on in uvicorn, and its times on a clock of the test's.

What it does to requests is asked on raw sockets, in tests/integration/test_wire_*.py.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import socket
import weakref
from collections.abc import Callable

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.core.vocabulary import AccessRefusal
from gateway.ports import RefusedRequest
from gateway.web.wire.connection import Terms, Wire
from gateway.web.wire.request_head import Limits
from tests.doubles.clock import FakeClock
from tests.doubles.loop_time import pass_time
from tests.unit.web.wires import Line, quiet

LIMITS = Limits(1_000, 10, 100, 5, head_timeout=10.0, write_timeout=30.0)
GOOD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Door:
    """One connection, its transport, and why it was refused."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.refused: list[AccessRefusal] = []
        self.requests: list[RefusedRequest] = []  # as they are logged
        terms = Terms(limits, FakeClock(), lambda: "id-1", self._note)
        config = uvicorn.Config(_silent, lifespan="off", log_config=None, ws="none")
        self.wire = Wire.under(terms)(config, ServerState(), {})
        self.line = Line()
        self.wire.connection_made(self.line)

    def _note(self, reason: AccessRefusal, request: RefusedRequest) -> None:
        self.refused.append(reason)
        self.requests.append(request)

    def look(self, times: int = 1) -> None:
        """Look after it so many times, as the server does once a second."""
        for _ in range(times):
            self.wire.look()


async def _no_content(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers at once."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def _silent(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers nothing while the test lasts."""
    await asyncio.Event().wait()


@pytest.fixture
async def door() -> Door:
    """A connection that was just made."""
    return Door()


def test_the_parent_has_the_shape_that_we_rely_on() -> None:
    """Read against uvicorn 0.54: another release has to be read before the pin moves."""
    ours = {"_unset_keepalive_if_required", "connection_made", "data_received", "on_message_begin"}
    ours |= {"on_headers_complete", "on_body", "on_message_complete", "on_response_complete"}
    ours |= {"connection_lost", "_start_asgi_task"}
    slots = ("self", "config", "server_state", "app_state", "_loop")
    source = inspect.getsource(HttpToolsProtocol)

    assert ours <= vars(HttpToolsProtocol).keys()
    assert tuple(inspect.signature(HttpToolsProtocol.__init__).parameters) == slots
    for attribute in ("parser", "loop", "connections", "transport", "pipeline", "headers", "url"):
        assert f"self.{attribute} = " in source or f"self.{attribute}: " in source
    assert "self.pipeline.appendleft((self.cycle, app))" in source
    assert "self.headers.append((name, value))" in source
    cycle = inspect.getsource(RequestResponseCycle)
    for attribute in ("disconnected", "message_event", "keep_alive", "response_started"):
        assert f"self.{attribute} = " in cycle
    assert "self.response_complete = False" in cycle


def test_the_versions_that_were_read_are_pinned() -> None:
    """uvicorn's classes and llhttp's strictness are both relied on."""
    import tomllib

    from tests.house.sources import ROOT

    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]

    assert {"uvicorn>=0.54,<0.55", "httptools>=0.9,<0.10"} <= set(needed)


async def test_who_says_nothing_is_closed_in_time(door: Door) -> None:
    """Not a moment before, and without a word."""
    door.look(10)
    assert door.line.end() == ""

    door.look()
    await quiet()
    assert door.line.end() == "closed"
    assert door.line.written == b""


@pytest.mark.parametrize(
    "end", [lambda wire: [wire.look() for _ in range(11)], lambda wire: wire.shutdown()]
)
async def test_a_request_that_is_just_arriving_is_answered(end: Callable[[Wire], object]) -> None:
    """It lies in the socket, unread, when its connection is given up or its plane ends. A close
    would reset the connection."""
    terms = Terms(LIMITS, FakeClock(), lambda: "id-1", lambda *_: None)
    config = uvicorn.Config(_no_content, lifespan="off", log_config=None, ws="none")
    wire = Wire.under(terms)(config, ServerState(), {})
    ours, caller = socket.socketpair()
    loop = asyncio.get_running_loop()
    with caller:
        caller.setblocking(False)
        await loop.create_connection(lambda: wire, sock=ours)
        caller.send(GOOD)
        end(wire)
        answer = await asyncio.wait_for(loop.sock_recv(caller, 1 << 16), 30)
        wire.transport.abort()
        await asyncio.sleep(0)

    assert answer.startswith(b"HTTP/1.1 204 ")


async def test_a_request_after_the_plane_ends_is_not_cut_by_the_idle_timer() -> None:
    """The timer was started after the request before. It ends while this one is answered."""
    asked: list[Scope] = []
    may_answer = asyncio.Event()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope)
        if len(asked) > 1:
            await may_answer.wait()
        await _no_content(scope, receive, send)

    terms = Terms(LIMITS, FakeClock(), lambda: "id-1", lambda *_: None)
    config = uvicorn.Config(answer, lifespan="off", log_config=None, ws="none")
    wire, line = Wire.under(terms)(config, ServerState(), {}), Line()
    wire.connection_made(line)
    wire.data_received(GOOD)
    await quiet()

    wire.shutdown()
    wire.data_received(GOOD)
    await pass_time(config.timeout_keep_alive + 1.0)
    ended_early = line.end()
    may_answer.set()
    await quiet()

    assert (len(asked), ended_early) == (2, "")
    assert line.written.count(b"HTTP/1.1 204 ") == 2


async def test_a_head_has_its_time_and_no_more(door: Door) -> None:
    """From the connection's beginning, whatever came meanwhile; then 408, and cut in 2 s."""
    door.wire.data_received(GOOD[:5])
    door.wire.data_received(GOOD[5:9])
    door.look(10)
    assert door.line.written == b""

    door.look()
    assert door.line.written.startswith(b"HTTP/1.1 408 ")
    assert door.refused == [AccessRefusal.HEAD_TOO_SLOW]
    door.look(3)
    assert door.line.end() == "aborted"


async def test_a_head_that_is_not_read_is_not_too_slow(door: Door) -> None:
    """While a request waits for its turn, the gateway does not read on. The rest of the head has
    its time once the gateway reads again."""
    door.wire.data_received(GOOD * 2 + GOOD[:9])
    door.look(11)
    assert door.refused == []

    door.wire.flow.resume_reading()
    door.look(10)
    assert door.refused == []
    door.look()
    assert door.refused == [AccessRefusal.HEAD_TOO_SLOW]


async def test_a_request_that_came_during_a_stall_is_not_cut_off(door: Door) -> None:
    """The timer of an idle connection comes before what lies in the socket."""
    door.wire.timeout_keep_alive_handler()
    door.wire.data_received(GOOD)
    for _ in range(10):
        await asyncio.sleep(0)
    assert door.line.end() == ""


async def test_an_idle_connection_is_closed_after_a_last_look(door: Door) -> None:
    """Where nothing came."""
    door.wire.timeout_keep_alive_handler()
    assert door.line.end() == ""
    for _ in range(10):
        await asyncio.sleep(0)
    assert door.line.end() == "closed"


@pytest.mark.parametrize("why", [None, ConnectionResetError()])
async def test_a_connection_that_is_gone_is_not_kept(why: Exception | None) -> None:
    """Callers that reset, such as some health checks, would each be kept for `idle_timeout`."""
    terms = Terms(LIMITS, FakeClock(), lambda: "id-1", lambda *_: None)
    config = uvicorn.Config(_no_content, lifespan="off", log_config=None, ws="none")
    wire = Wire.under(terms)(config, ServerState(), {})
    wire.connection_made(Line())
    wire.data_received(GOOD)
    await quiet()
    assert wire.timeout_keep_alive_task is not None

    wire.connection_lost(why)
    gone = weakref.ref(wire)
    del wire
    gc.collect()

    assert gone() is None


async def test_a_request_that_is_being_answered_may_take_its_time(door: Door) -> None:
    """The deadline is the caller's, not ours."""
    door.wire.data_received(GOOD)
    door.wire.data_received(b"\r\n")
    door.look(1_000)

    assert not door.line.is_closing()


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_body_hides_no_head_that_is_too_large(is_chunked: bool) -> None:
    """Also if the body ends with an empty line, as each chunked body does."""
    roomy = Limits(1_000, 10, 5_000, 5, head_timeout=10.0, write_timeout=30.0)
    door = Door(roomy)
    body = b"b" * 3_000
    put = b"PUT / HTTP/1.1\r\nHost: a\r\n"
    put += (
        b"Transfer-Encoding: chunked\r\n\r\nbb8\r\n%b\r\n0\r\n\r\n" % body
        if is_chunked
        else (b"Content-Length: 3004\r\n\r\n%b\r\n\r\n" % body)
    )

    door.wire.data_received(put + GOOD[:-2] + b"X: " + b"x" * 2_500)
    door.wire.data_received(b"\r\n\r\n")

    assert door.refused == [AccessRefusal.HEAD_TOO_LARGE]


@pytest.mark.parametrize("earlier", [0, 300])
async def test_a_body_does_not_make_the_next_head_too_large(earlier: int) -> None:
    """A body beyond the bound of a head comes with the beginning of the next request. That head
    still has the bound of a head."""
    roomy = Limits(1_000, 10, 5_000, 5, head_timeout=10.0, write_timeout=30.0)
    door = Door(roomy)
    put = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + b"b" * 3_000
    begun = GOOD[:-2] + b"X: " + b"x" * 800

    door.wire.data_received(put[:earlier])
    door.wire.data_received(put[earlier:] + begun)
    door.wire.data_received(b"\r\n\r\n" + begun)
    assert door.refused == []
    assert len(door.wire.pipeline) == 1

    door.wire.data_received(b"x" * 300)
    assert door.refused == [AccessRefusal.HEAD_TOO_LARGE]


async def test_who_waits_for_a_broken_body_is_told_at_once(door: Door) -> None:
    """The application must neither wait for the rest nor take the half for the whole."""
    door.wire.data_received(GOOD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n")

    assert door.line.written.startswith(b"HTTP/1.1 400 ")
    assert door.wire.cycle.disconnected
    assert door.wire.cycle.message_event.is_set()
    assert (await door.wire.cycle.receive())["type"] == "http.disconnect"


_NAMED = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n"


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        ([_NAMED + b"Content-Length: 101\r\n\r\n"], "mine"),
        ([_NAMED + b"Transfer-Encoding: chunked\r\n\r\n", b"65\r\n" + b"b" * 101], "mine"),
        ([_NAMED + b"A: b\r\n" * 9 + b"\r\n"], "mine"),
        ([b"GET / HTTP/1.1\r\nX-Request-ID: no good\r\n\r\n"], "id-1"),
        ([b"nonsense\r\n\r\n"], "id-1"),
    ],
    ids=["length", "body", "fields", "harmful", "no-head"],
)
async def test_what_is_refused_is_logged_under_the_id_that_is_answered(
    door: Door, sent: list[bytes], known: str
) -> None:
    """The caller's own where its head is known, else the one that was made for it."""
    for piece in sent:
        door.wire.data_received(piece)

    assert [each.request_id for each in door.requests] == [known]
    assert f"x-request-id: {known}\r\n".encode() in door.line.written


@pytest.mark.parametrize(
    ("sent", "method", "path"),
    [
        (b"PUT /a?token=s3cret HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", "PUT", "/a"),
        (b"GET /b?token=s3cret HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 10 + b"\r\n", "GET", "/b"),
        (b"nonsense\r\n\r\n", "", ""),
    ],
)
async def test_a_refused_request_is_told_as_far_as_it_was_read(
    door: Door, sent: bytes, method: str, path: str
) -> None:
    """Who sent it, and what for; never the query, which may have a credential."""
    door.wire.client = ("192.0.2.7", 5000)

    door.wire.data_received(sent)

    (told,) = door.requests
    assert (told.peer, told.method, told.path) == ("192.0.2.7", method, path)


async def test_several_that_wait_as_the_plane_begins_to_drain_are_all_answered(door: Door) -> None:
    """The last of them ends the connection. What comes later is sent again by its caller."""
    door.wire.data_received(GOOD * 3)

    door.wire.drain()
    door.wire.data_received(GOOD)

    waiting = [cycle.keep_alive for cycle, _ in reversed(door.wire.pipeline)]
    assert waiting == [True, False, False]  # the last one came later


async def test_a_response_that_has_begun_does_not_end_the_connection_unsaid(door: Door) -> None:
    """While the plane drains its caller would ask once more; when the plane ends it does end."""
    door.wire.data_received(GOOD)
    door.wire.cycle.response_started = True

    door.wire.drain()
    assert door.wire.cycle.keep_alive
    door.wire.shutdown()
    assert not door.wire.cycle.keep_alive


@pytest.mark.parametrize("begun", [b"", GOOD[:9]])
async def test_a_plane_that_ends_waits_for_heads_that_have_begun(door: Door, begun: bytes) -> None:
    """And closes what says nothing."""
    door.wire.data_received(begun)
    assert door.wire.is_idle is not bool(begun)

    door.wire.shutdown()
    await quiet()

    assert door.line.end() == ("" if begun else "closed")


async def test_a_caller_that_asked_is_waited_for(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays open for the response, and ends with it; TLS cannot."""
    door.wire.data_received(GOOD)

    assert not door.wire.eof_received()
    monkeypatch.setattr(door.line, "can_write_eof", lambda: True)
    assert door.wire.eof_received()
    assert not door.wire.cycle.keep_alive
