"""Closing that destroys nothing, on a transport that notes what is done to it."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from gateway.web.wire.lingering_close import LingeringClose
from tests.unit.web.wires import Line


class Plain(Line):
    """A connection without TLS: one direction can be closed alone."""

    def __init__(self) -> None:
        super().__init__()
        self.is_half_closed = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_half_closed = True


@pytest.fixture
def line() -> Plain:
    """The transport beneath."""
    return Plain()


def test_only_the_own_direction_is_closed(line: Plain) -> None:
    """The rest is the peer's, who has two seconds for it."""
    outlet = LingeringClose(line)
    assert not any(outlet.is_overdue() for _ in range(100))
    outlet.write(b"a")

    outlet.close()

    assert (line.written, line.is_half_closed, line.end()) == (b"a", True, "")
    assert outlet.is_closing()
    assert [outlet.is_overdue() for _ in range(3)] == [False, False, True]


def test_a_slow_peer_gets_the_whole_response(line: Plain) -> None:
    """An abort destroys bytes that are not in the system's buffer yet. The two seconds begin when
    all of them are."""
    outlet = LingeringClose(line)
    outlet.write(b"a" * 1_000_000)
    outlet.close()

    line.backlog = 500_000
    assert not any(outlet.is_overdue() for _ in range(20))
    line.backlog = 0
    assert [outlet.is_overdue() for _ in range(3)] == [False, False, True]


def test_a_peer_that_ended_its_direction_is_not_waited_for(line: Plain) -> None:
    """Both are closed."""
    outlet = LingeringClose(line)
    outlet.peer_has_ended = True

    outlet.close()

    assert line.end() == "closed"


def test_tls_is_closed_by_its_own_rules() -> None:
    """Unless the peer is still sending, which would make it a reset."""
    whole, sending = Line(), Line()

    LingeringClose(whole).close()
    LingeringClose(sending).linger()

    assert (whole.end(), sending.end()) == ("closed", "")


def test_a_response_over_tls_is_not_cut_by_the_linger_time() -> None:
    """What waits beneath TLS is not known. asyncio bounds the close itself."""
    outlet = LingeringClose(Line())
    outlet.close()

    assert not any(outlet.is_overdue() for _ in range(20))


class Noted(asyncio.Protocol):
    """Notes its transport."""

    def __init__(self, made: asyncio.Future[asyncio.Transport]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._made.set_result(transport)


async def test_a_peer_that_has_reset_the_connection_is_no_error() -> None:
    """The page was closed, and the process stops before the transport has noticed it (OSError 107
    of a real socket)."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[asyncio.Transport] = loop.create_future()
    server = await loop.create_server(lambda: Noted(made), "127.0.0.1", 0)
    caller = socket.create_connection(server.sockets[0].getsockname())
    transport = await made
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()

    LingeringClose(transport).close()

    assert transport.is_closing()
    server.close()
