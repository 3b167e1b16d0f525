"""Server: when it looks after callers, and what it holds against them."""

from __future__ import annotations

import errno
import socket
from typing import Any, cast

import pytest
import uvicorn

from gateway.app import listen, run
from gateway.app.listen import Server, StartFault, last_accepted
from gateway.settings import load
from gateway.web.wire.connection import Wire
from tests.doubles.loop_time import stall
from tests.unit.web.wires import Line


class Looked(Wire):
    """A connection that only notes what it is told."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self) -> None:
        self.looks += 1


async def test_a_look_that_comes_late_counts_once() -> None:
    """The time beyond a second is our own. What a caller sent meanwhile is read before the next
    look."""
    server = Server(uvicorn.Config(cast(Any, None), log_config=None), Looked)
    caller = Looked()
    server.server_state.connections.add(caller)

    await server.on_tick(10)
    stall(61.0)
    await server.on_tick(20)

    assert caller.looks == 2


async def test_one_connection_does_not_end_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails costs that connection, and the others are looked after."""
    server = Server(uvicorn.Config(cast(Any, None), log_config=None), Looked)
    broken, sound = Looked(), Looked()
    monkeypatch.setattr(broken, "look", lambda: 1 / 0)
    broken.transport = line = Line()
    server.server_state.connections |= {broken, sound}

    await server.on_tick(10)

    assert (line.end(), sound.looks) == ("aborted", 1)


@pytest.mark.parametrize("late", [0, 1, 3])
def test_whoever_comes_as_a_port_is_closed_is_taken(
    monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    """One is waiting already; the others come one after the other. Then nobody connects."""
    listener = listen.listen("127.0.0.1", 0, setting="server.port")
    listener.setblocking(False)
    where = listener.getsockname()
    callers = [socket.create_connection(where)]

    def come(_: float) -> None:
        if len(callers) <= late:
            callers.append(socket.create_connection(where))

    monkeypatch.setattr("gateway.app.listen.time.sleep", come)
    accepted = last_accepted(listener)

    assert [each.getpeername() for each in accepted] == [each.getsockname() for each in callers]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where)
    for each in (*accepted, *callers):
        each.close()


def test_a_port_is_closed_though_callers_never_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a tenth of a second."""
    listener = listen.listen("127.0.0.1", 0, setting="server.port")
    listener.setblocking(False)
    where, callers = listener.getsockname(), []

    def come(_: float) -> None:
        callers.append(socket.create_connection(where))

    monkeypatch.setattr("gateway.app.listen.time.sleep", come)

    accepted = last_accepted(listener)

    assert len(accepted) == len(callers) == 20
    for each in (*accepted, *callers):
        each.close()


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid", "fe80::1"])
def test_a_host_that_is_not_here_is_named_as_the_fault(host: str) -> None:
    """Another port would not help."""
    with pytest.raises(StartFault) as refused:
        listen.listen(host, 0, setting="admin.port")

    (fault,) = refused.value.faults
    assert fault.startswith(f"admin.host: cannot listen on {host}:0: ")
    assert "GATEWAY_ADMIN__HOST" in fault
    assert "port, set" not in fault


@pytest.mark.parametrize(
    ("number", "setting", "hint"),
    [
        (errno.EAFNOSUPPORT, "server.host", " (the host has to be an address of this machine; "),
        (errno.EMFILE, "server.port", ""),
    ],
    ids=["a machine without IPv6", "no file is free"],
)
def test_a_socket_that_cannot_be_made_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, number: int, setting: str, hint: str
) -> None:
    """Another host is suggested only if it can help."""

    def failing(*_: object) -> socket.socket:
        raise OSError(number, "Reason")

    monkeypatch.setattr("gateway.app.listen.socket.socket", failing)
    with pytest.raises(StartFault) as refused:
        listen.listen("::1", 0, setting="server.port")

    (fault,) = refused.value.faults
    start = f"{setting}: cannot listen on ::1:0: Reason"
    assert fault.startswith(start + hint)
    assert bool(hint) or fault == start


def test_a_port_that_is_taken_is_named_as_the_fault() -> None:
    """Another host would not help."""
    with listen.listen("127.0.0.1", 0, setting="server.port") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartFault) as refused:
            listen.listen("127.0.0.1", port, setting="server.port")

    (fault,) = refused.value.faults
    assert fault.startswith(f"server.port: cannot listen on 127.0.0.1:{port}: ")


def test_a_start_that_fails_takes_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where several processes share the port for callers, the system gives some to each that
    listens."""
    opened = []

    def taken(_host: str, _port: int, *, setting: str, reuse_port: bool = False) -> socket.socket:
        opened.append(setting)
        raise StartFault(f"{setting}: is taken")

    monkeypatch.setattr(run, "listen", taken)
    server = cast("Server", None)
    with pytest.raises(StartFault):
        run._listening(load(None, {"GATEWAY_SERVER__REUSE_PORT": "true"}), server, server)

    assert opened == ["admin.port"]
