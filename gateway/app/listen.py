"""The sockets and servers of both planes, which share one process and one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

import uvicorn
from starlette.types import ASGIApp

from gateway.settings import AdminSettings, ServerSettings
from gateway.web.wire.connection import Wire

# Files that the process may have open besides its callers' connections.
_OTHER_FILES = 320
# Connections that may wait to be accepted (the system may allow fewer). When a replica goes away,
# all its callers connect to the others at once. A caller that finds no room tries again only one
# second, and then three seconds, after its first attempt.
_BACKLOG = 4_096
# uvicorn calls `Server.on_tick` ten times a second.
_TICKS = 10
_TICK = 0.1
# At a shutdown, requests are perhaps on their way. A server waits half a second for them on idle
# connections, and two seconds on new ones.
_STEPS = 25
_STEPS_WHEN_NEW = 100
_STEP = 0.02

# With these errors another port can help, or another host.
_FAULTS_OF_THE_PORT = frozenset({errno.EADDRINUSE, errno.EACCES, errno.EPERM})
_FAULTS_OF_THE_HOST = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL})

# A port is closed after a round (`_ROUND` seconds) without a connection, or after `_ROUNDS`
# rounds.
_ROUND = 0.005
_ROUNDS = 20

_logger = logging.getLogger(__name__)


class StartFault(Exception):
    """The gateway cannot start. `faults` has one line for each fault."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Addresses:
    """The base URLs of both planes."""

    data: str
    admin: str


class Server(uvicorn.Server):
    """The server of one plane. No signal ends it: `app/run` decides when it ends.

    answering  set once the server accepts connections
    """

    def __init__(self, config: uvicorn.Config, connection_type: type[Wire]) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()
        self.servers: list[asyncio.Server] = []
        self._connection_type = connection_type
        # The references are weak, so a connection whose TLS handshake failed disappears by itself.
        self._made: WeakSet[Wire] = WeakSet()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections. uvicorn's own method would allow a minute for a TLS handshake.

        The system ends the connection of a caller that reads nothing for `write_timeout` (tcp(7),
        TCP_USER_TIMEOUT; only Linux has it). Connections inherit this from the listening socket.
        """
        loop = asyncio.get_running_loop()
        for each in sockets or []:
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                patience = round(1_000 * self._connection_type.terms.limits.write_timeout)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, patience))
            server = await loop.create_server(
                self._connection,
                sock=each,
                backlog=_BACKLOG,
                ssl=self.config.ssl,
                ssl_handshake_timeout=self._handshake_timeout,
            )
            self.servers.append(server)
        self.started = True
        self.answering.set()

    async def on_tick(self, counter: int) -> bool:
        """Once a second, close the connections of callers that take too long."""
        if counter % _TICKS == 0:
            self._check_connections()
        return await super().on_tick(counter)

    def drain(self) -> None:
        """From now on close each connection after a response (see `Wire.drain`)."""
        self._connection_type.terms.draining.set()
        for connection in self._connections():
            connection.drain()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept only the queued connections, answer the requests, and close."""
        self.drain()
        loop = asyncio.get_running_loop()
        began, beside = loop.time(), [loop.create_task(self._keep_checking())]
        try:
            taken = self._stop_listening(sockets or [])
            beside += taken
            await self._last_call(taken)
            longest = self.config.timeout_graceful_shutdown or 0
            self.config.timeout_graceful_shutdown = max(1, round(longest + began - loop.time()))
            await super().shutdown(sockets)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    def _stop_listening(self, sockets: list[socket.socket]) -> list[asyncio.Task[None]]:
        """Close the port. A close would reset the queued connections, so they are accepted first.
        Returns a task for each of them."""
        copies = [each.dup() for each in sockets]  # they listen until `last_accepted` closes them
        for server in self.servers:
            server.close()
        waiting = [each for copy in copies for each in last_accepted(copy)]
        return [asyncio.create_task(self._take_over(each)) for each in waiting]

    async def _take_over(self, accepted: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            self._connection,
            accepted,
            ssl=self.config.ssl,
            ssl_handshake_timeout=self._handshake_timeout,
        )

    @property
    def _handshake_timeout(self) -> float | None:
        """Seconds. asyncio requires None if there is no TLS."""
        return None if self.config.ssl is None else self._connection_type.terms.limits.head_timeout

    def _connection(self) -> Wire:
        made = self._connection_type(self.config, self.server_state, self.lifespan.state)
        self._made.add(made)
        return made

    async def _last_call(self, taken: list[asyncio.Task[None]]) -> None:
        """Wait for requests that are on their way.

        The wait is counted in steps, not in seconds. A stall of the event loop costs one step. In
        the next step the loop reads the bytes that came during the stall.
        """
        for step in range(_STEPS_WHEN_NEW):
            if all(each.done() for each in taken) and not self._may_get_requests(step):
                return
            await asyncio.sleep(_STEP)

    def _may_get_requests(self, step: int) -> bool:
        if any(each.transport is None for each in self._made):
            return True  # a connection is still in its TLS handshake
        open_ones = self._connections()
        is_early = step < _STEPS
        return any(each.is_new or (is_early and each.is_idle) for each in open_ones)

    async def _keep_checking(self) -> None:
        """Check the connections, because uvicorn calls no `on_tick` in a shutdown."""
        while True:
            await asyncio.sleep(_TICKS * _TICK)
            self._check_connections()

    def _check_connections(self) -> None:
        for connection in self._connections():
            try:
                connection.look()
            except Exception:
                _logger.exception("a connection could not be checked, and is closed")
                connection.transport.abort()

    def _connections(self) -> list[Wire]:
        return [each for each in self.server_state.connections if isinstance(each, Wire)]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A signal has to end both servers, so `app/run` handles it."""
        yield


def last_accepted(listener: socket.socket) -> list[socket.socket]:
    """The connections that wait to be accepted. Closes the listener when no more come.

    A close resets connections whose TCP handshake is not complete. If the cores are busy, the last
    packet of a handshake can be late, so this function waits.

    The wait blocks the event loop on purpose. Otherwise responses would be sent meanwhile. In a
    drain each response ends its connection, and its caller would connect to this port again.
    """
    with listener:
        accepted = _waiting(listener)
        for _ in range(_ROUNDS):
            time.sleep(_ROUND)
            late = _waiting(listener)
            if not late:
                break
            accepted += late
    for connection in accepted:
        connection.setblocking(False)
    return accepted


def _waiting(listener: socket.socket) -> list[socket.socket]:
    found: list[socket.socket] = []
    with contextlib.suppress(OSError):
        while len(found) < _BACKLOG:
            found.append(listener.accept()[0])
    return found


def listen(host: str, port: int, *, setting: str, reuse_port: bool = False) -> socket.socket:
    """A listening socket. Raises StartFault, which names `setting`, or the setting of the host."""
    try:
        return _listener(host, port, reuse_port=reuse_port)
    except OSError as error:
        hint = ""
        if isinstance(error, socket.gaierror) or error.errno in _FAULTS_OF_THE_HOST:
            setting = setting.replace(".port", ".host")
            hint = _remedy(setting, is_in_use=False)
        elif error.errno in _FAULTS_OF_THE_PORT:
            hint = _remedy(setting, is_in_use=error.errno == errno.EADDRINUSE)
        raise StartFault(
            f"{setting}: cannot listen on {host}:{port}: {error.strerror}{hint}"
        ) from error


def _listener(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets with this protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remedy(setting: str, *, is_in_use: bool) -> str:
    variable = f"GATEWAY_{setting.upper().replace('.', '__')}"
    if setting.endswith(".host"):
        hint = f"the host has to be an address of this machine; to use another host, set {variable}"
    elif is_in_use:
        user = "a gateway that runs already, or another program, uses this port"
        hint = f"{user}; to use another port, set {variable}"
    else:
        hint = f"to use another port, set {variable}"
    return f" ({hint})"


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """The base URL of the socket."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def files_for(connections: int) -> int:
    """Raise the limit of open files. Returns how many of the `connections` the process can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else min(connections, soft - _OTHER_FILES)


def server_of(
    app: ASGIApp,
    connection_type: type[Wire],
    *,
    plane: ServerSettings | AdminSettings,
    ends_in: float,
    idle_timeout: float,
) -> Server:
    """A server whose shutdown takes about `ends_in` seconds at most."""
    config = uvicorn.Config(
        app,
        http=connection_type,
        ws="none",
        backlog=_BACKLOG,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ssl_certfile=_path(plane.tls_cert),
        ssl_keyfile=_path(plane.tls_key),
        timeout_graceful_shutdown=max(1, round(ends_in)),
        timeout_keep_alive=max(1, round(idle_timeout)),
    )
    try:
        config.load()
    except OSError as error:  # also ssl.SSLError
        raise StartFault(
            f"tls_cert {plane.tls_cert}, tls_key {plane.tls_key}: cannot be used:"
            f" {error.strerror or error}"
        ) from error
    return Server(config, connection_type)


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
