"""Serves a simulator over real HTTP: for a block of code (`running`), or until a signal
(`serve`)."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from gateway.simulator import api
from gateway.simulator.answers import Refusal, error
from gateway.simulator.catalogue import Catalogue, NoSuchTraining
from gateway.simulator.control_routes import control_routes
from gateway.simulator.faults import Call, CallKind, Fault, FaultMode, distorted, replacement
from gateway.simulator.limiter import refusal_headers
from gateway.simulator.wire import Answer, TransportProtocol, delivered, hold, pause
from gateway.simulator.world import NO_KEY, SimulatorConfig, World

_ALL_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# When the connections are aborted, their requests have this many seconds to end. Then they are
# cancelled.
_GRACE = 1.0
# After so many turns of the event loop, a connection that was accepted is known to the server.
_TURNS = 3


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that answers at `base_url`, and its state."""

    base_url: str
    world: World

    @property
    def catalogue(self) -> Catalogue:
        """The trainings of the organisation to which the first configured API key belongs."""
        return self.world.catalogue()


def build(config: SimulatorConfig) -> Starlette:
    """The ASGI application. Its `state.world` is the simulator's state.

    Background edits, and faults that close the connection, work only with `running` or `serve`.
    """
    world = World(config)

    def route(path: str, method: str, kind: CallKind, endpoint: api.Endpoint) -> Route:
        return Route(path, CallSteps(world, path, kind, endpoint), methods=[method])

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
                CallSteps(world, "elsewhere", CallKind.OTHER, api.nowhere),
                methods=_ALL_METHODS,
            ),
        ]
    )
    application.state.world = world
    return application


@asynccontextmanager
async def running(config: SimulatorConfig | None = None) -> AsyncIterator[RunningSimulator]:
    """Serve in the current event loop while the `async with` block runs. When the block ends, open
    connections are aborted."""
    chosen = config or SimulatorConfig()
    application = build(chosen)
    world: World = application.state.world
    with _listener(chosen) as listener:
        server = _Server(application, chosen)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        editing = asyncio.create_task(world.editor.run())
        try:
            await _wait_until_ready(server, serving)
            yield RunningSimulator(_base_url(chosen, listener), world)
        finally:
            editing.cancel()
            server.stopping.set()
            await asyncio.wait({serving, editing})
        serving.result()


async def serve(config: SimulatorConfig, started: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `started` is called with the base URL as soon as the simulator
    answers."""
    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for each in signals:
        loop.add_signal_handler(each, signalled.set)
    try:
        async with running(config) as simulator:
            if started is not None:
                started(simulator.base_url)
            await signalled.wait()
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


@dataclass(frozen=True, slots=True)
class CallSteps:
    """The steps of each call to one route, as an ASGI application: count the call, apply limit,
    faults and latency, and run the endpoint."""

    world: World
    template: str
    kind: CallKind
    endpoint: api.Endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            call = await self._read(Request(scope, receive))
        except ClientDisconnect:
            return
        journal = self.world.journal
        with journal.counted(call, time.monotonic()):
            answer = await self._answer(call, receive)
            journal.answered(answer.status_code if answer else None)
            if answer:
                await answer(scope, receive, send)

    async def _read(self, request: Request) -> Call:
        return Call(
            method=request.method,
            path=request.url.path,
            endpoint=f"{request.method} {self.template}",
            kind=self.kind,
            training_id=request.path_params.get("id"),
            token=_bearer(request.headers.get("authorization")),
            query=request.query_params,
            headers=request.headers,
            body=await request.body(),
        )

    async def _answer(self, call: Call, receive: Receive) -> Answer | None:
        wait = self.world.limiter.take(call.token or NO_KEY, time.monotonic())
        if wait is not None:
            return self._with_headers(self._too_many(wait))
        fault, lifted = self.world.faults.pick(call), self.world.faults.lifted
        seconds = self.world.latency() + (fault.delay_before if fault else 0.0)
        if not await pause(seconds, receive):
            return None
        if fault and fault.mode is FaultMode.HELD and not await hold(lifted, receive):
            return None
        return delivered(fault, self._with_headers(self._content(call, fault)))

    def _too_many(self, wait: float) -> Response:
        limiter = self.world.limiter
        headers = refusal_headers(
            self.world.config.retry_after,
            limit=limiter.limit or 0,
            window=limiter.window,
            wait=wait,
            now=time.time(),
        )
        return error(429, "ThrottlerException: Too Many Requests", headers)

    def _content(self, call: Call, fault: Fault | None) -> Response:
        if fault is None:
            return self._without_fault(call)
        answer = replacement(fault, call)
        return answer or distorted(fault, call, self._without_fault(call))

    def _without_fault(self, call: Call) -> Response:
        try:
            return self.endpoint(self.world, call)
        except Refusal as refusal:
            return refusal.answer
        except NoSuchTraining:
            return error(404, "Training not found")

    def _with_headers(self, answer: Response) -> Response:
        config = self.world.config
        ray = f"{self.world.random.getrandbits(64):016x}"
        answer.headers["server"] = "cloudflare"
        answer.headers["cf-ray"] = f"{ray}-FRA"
        if config.cookie:
            cookie = f"__cflb={ray}; Path=/; Max-Age=82800; HttpOnly; SameSite=Lax"
            answer.headers.append("set-cookie", cookie)
        if config.cache_control is not None and answer.status_code in (200, 304):
            answer.headers["cache-control"] = config.cache_control
        return answer


def _bearer(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers. It aborts open connections when it stops."""

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
                # uvicorn declares an `int`, but its timer accepts this float too.
                timeout_keep_alive=config.keep_alive,  # type: ignore[arg-type]
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
        loop = asyncio.get_running_loop()
        for listener in sockets or []:
            loop.remove_reader(listener)
        # asyncio makes a connection in two turns. If its server is closed in between, the
        # connection stays open, and nobody can abort it.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if tasks := list(self.server_state.tasks):
            _, left = await asyncio.wait(tasks, timeout=_GRACE)
            for task in left:
                task.cancel()


async def _wait_until_ready(server: _Server, serving: asyncio.Task[None]) -> None:
    """Wait until the server is ready. If the task `serving` ends first, raise its exception."""
    waiting = asyncio.create_task(server.ready.wait())
    await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving.done():
        serving.result()


@contextmanager
def _listener(config: SimulatorConfig) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # asyncio turns off Nagle's algorithm only if the socket names its protocol. With the algorithm,
    # a body that is sent after its head waits 40 ms for the client's delayed ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.setblocking(False)
        yield listener


def _base_url(config: SimulatorConfig, listener: socket.socket) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{listener.getsockname()[1]}"
