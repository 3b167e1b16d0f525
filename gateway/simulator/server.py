"""Serving a simulator over real HTTP: in the current loop, or until the process is told to end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from gateway.simulator import api
from gateway.simulator.calls import CallKind
from gateway.simulator.catalogue import Catalogue
from gateway.simulator.control_routes import control_routes
from gateway.simulator.gate import Gate
from gateway.simulator.wire import TransportProtocol
from gateway.simulator.world import SimulatorConfig, World

_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_FAREWELL = 1.0


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that answers at `base_url`, and its inside for tests in the same process."""

    base_url: str
    world: World

    @property
    def catalogue(self) -> Catalogue:
        """The trainings of the first key's organisation."""
        return self.world.catalogue()


def build(config: SimulatorConfig) -> Starlette:
    """The ASGI application; its `state.world` is the simulator's state.

    The faults of the connection and the background edits need `running` or `serve`.
    """
    world = World(config)

    def route(path: str, method: str, kind: CallKind, endpoint: api.Endpoint) -> Route:
        return Route(path, Gate(world, path, kind, endpoint), methods=[method])

    application = Starlette(
        routes=[
            Mount("/_control", routes=control_routes(world)),
            route("/training", "GET", CallKind.LIST, api.listing),
            route("/training", "POST", CallKind.WRITE, api.create),
            route("/training/{id}", "GET", CallKind.READ, api.read),
            route("/training/{id}", "PUT", CallKind.WRITE, api.update),
            route("/training/{id}", "DELETE", CallKind.WRITE, api.delete),
            route("/training/{id}/draft", "PUT", CallKind.WRITE, api.update_draft),
            Route(
                "/{rest:path}",
                Gate(world, "elsewhere", CallKind.OTHER, api.nowhere),
                methods=_ALL_METHODS,
            ),
        ]
    )
    application.state.world = world
    return application


@asynccontextmanager
async def running(config: SimulatorConfig | None = None) -> AsyncIterator[RunningSimulator]:
    """Serve in the current loop while the block runs; on leaving, open connections are dropped."""
    chosen = config or SimulatorConfig()
    application = build(chosen)
    world: World = application.state.world
    with _listener(chosen) as listener:
        server = _Server(application, chosen)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        editing = asyncio.create_task(world.editor.run())
        try:
            await _first(server.ready.wait(), serving)
            yield RunningSimulator(_base_url(chosen, listener), world)
        finally:
            editing.cancel()
            server.stopping.set()
            await asyncio.wait({serving, editing})
        serving.result()


async def serve(config: SimulatorConfig, started: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `started` is told the base URL once it answers."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for each in signals:
        loop.add_signal_handler(each, told.set)
    try:
        async with running(config) as simulator:
            if started is not None:
                started(simulator.base_url)
            await told.wait()
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers and its patience: a simulator stops at once."""

    def __init__(self, application: Starlette, config: SimulatorConfig) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=TransportProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=config.keep_alive,  # type: ignore[arg-type] # for a timer
            )
        )
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not self.stopping.is_set():
            await self.on_tick(0)  # renews the Date header
            self.ready.set()
            try:
                await asyncio.wait_for(self.stopping.wait(), 1.0)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if tasks := list(self.server_state.tasks):
            _, left = await asyncio.wait(tasks, timeout=_FAREWELL)
            for task in left:
                task.cancel()


async def _first(event: Coroutine[object, object, object], serving: asyncio.Task[None]) -> None:
    """Wait for the event, or fail as serving failed before it."""
    waiting = asyncio.create_task(event)
    await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        serving.result()


@contextmanager
def _listener(config: SimulatorConfig) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named; without, an answer
    # whose body follows its head in a second write waits 40 ms for the client's delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.setblocking(False)
        yield listener


def _base_url(config: SimulatorConfig, listener: socket.socket) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{listener.getsockname()[1]}"
