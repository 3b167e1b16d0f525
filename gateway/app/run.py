"""Runs the process until it has drained. Opens the sockets, starts the tasks, handles the signals,
and ends all parts in the right sequence."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from socket import socket
from types import FrameType

import gateway
from gateway.adapters.redis.budget import RedisBudget
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.telemetry.access_log import AccessLog
from gateway.adapters.telemetry.log_lines import Sink, configure, configure_standard_output, logger
from gateway.app.clock import ids
from gateway.app.compose import House, compose
from gateway.app.exposure import exposures
from gateway.app.health_findings import REMEDIES
from gateway.app.listen import Addresses, Server, StartFault, files_for, listen, server_of, url_of
from gateway.app.operations import Life, Operations
from gateway.core.errors import RedisUnavailable, UpstreamFailure
from gateway.core.vocabulary import RedisOperation
from gateway.settings import (
    AccessMode,
    LogFormat,
    Settings,
    SettingsFault,
    changed,
)
from gateway.web.admin.app import AdminPlane
from gateway.web.admin.orders import LARGEST_ORDER
from gateway.web.data.app import DataPlane
from gateway.web.wire.connection import Terms, Wire
from gateway.web.wire.hot_path import HotPath
from gateway.web.wire.request_head import Limits

# Seconds after `server.drain_timeout` in which the requests that still wait get 503.
_LAST_SECONDS = 1.0
# The most fields of a request head, otherwise 431.
_MOST_FIELDS = 100
# After the data plane has ended, orders in flight may take this many seconds. If Redis has just
# lost the list of replicas, an order waits until the replicas can have added themselves again.
_LAST_ORDERS = 6.0
# At the start, the process waits for at most this many seconds until it knows whether Redis is up.
_FIRST_LOOK = 1.0
# Seconds between two rounds of `_turn_away`.
_NEXT_ROUND = 0.01
# Seconds for sending the spans that still wait.
_LAST_SPANS = 3.0
_next_id: Callable[[], bytes] = ids().__next__


async def serve(
    settings: Settings,
    *,
    started: Callable[[Addresses], None] | None = None,
    stop: asyncio.Event | None = None,
    log_to: Sink | None = None,
    misspelt: Sequence[tuple[str, str]] = (),
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then drain. A second signal ends the process at once.
    If `stop` is given, `stop` takes the place of the signals. Raises the same errors as `compose`.

    started   called with the addresses as soon as both planes accept connections
    log_to    receives the log instead of standard output
    misspelt  ignored environment variables, each with the name that was probably meant
    """
    house = compose(settings)
    life = Life(started=house.clock.monotonic())
    form = _log_form(settings)
    access_log = _logging(settings, house, form, log_to)
    operations = Operations(house, settings, life)
    servers = _servers(settings, house, operations, access_log)
    # This blocks the event loop for a long time. So it is done before a socket listens.
    _freeze_garbage_collector()
    data, admin = _listening(settings, *servers)
    addresses = Addresses(data.url, admin.url)
    _allow_connections(settings.limits.max_connections)
    for each in exposures(settings):
        logger.warning(each.event, setting=each.setting, effect=each.effect, remedy=each.remedy)
    for variable, meant in misspelt:
        logger.warning("settings.ignored", variable=variable, meant=meant)
    with _stopping(stop) as stopping:
        async with _running(house, operations, access_log), _serving(data, admin) as ends:
            life.ready = True
            if shown := operations.settings() if form is LogFormat.JSON else changed(settings):
                logger.info("gateway.settings", **shown)
            logger.info("gateway.started", version=gateway.__version__, **asdict(addresses))
            if started is not None:
                started(addresses)
            await asyncio.wait([stopping, *ends], return_when=asyncio.FIRST_COMPLETED)
            life.draining = True
            data.server.drain()
            admin.server.drain()
            logger.info("gateway.draining", delay=settings.server.drain_delay)
            await house.clock.sleep(settings.server.drain_delay)
            await data.end(ends[0], patience=settings.server.drain_timeout)
            await _turn_away(house, ends[0])
            await ends[0]
            life.ended.set()
            await admin.end(ends[1], patience=_LAST_ORDERS)
    logger.info("gateway.stopped")


@dataclass(frozen=True, slots=True)
class Plane:
    """One application on one socket."""

    server: Server
    listener: socket
    url: str

    async def serve(self) -> None:
        """Answer requests until `end` is called."""
        await self.server.serve(sockets=[self.listener])

    async def end(self, served: asyncio.Task[None], patience: float) -> None:
        """Tell the server to end (see `Server.shutdown`), and wait `patience` seconds at most."""
        self.server.should_exit = True
        await asyncio.wait({served}, timeout=patience)


def _servers(
    settings: Settings, house: House, operations: Operations, access_log: AccessLog
) -> tuple[Server, Server]:
    server, admin = settings.server, settings.admin
    data_plane = DataPlane(
        house.serving,
        house.admission.callers,
        house.clock,
        house.telemetry.requests,
        access_log,
        tracer=house.tracer,
        gateway=house.gateway,
        writing=house.writing,
        max_body=settings.upstream.max_body,
        lists=house.lists,
        # By then each fetch has ended, with an error or a stale response.
        patience=settings.upstream.timeout + 1.0,
        count_items=house.telemetry.counters.count_items,
        forward_headers=frozenset(
            name.lower().encode("ascii") for name in settings.upstream.forward_headers
        ),
        new_id=_next_id,
        ready=operations.is_ready,
    )
    admin_plane = AdminPlane(
        operations,
        house.clock,
        house.telemetry.requests,
        host=admin.host,
        operators=house.operator_access.operators,
        new_id=_new_id,
    )
    longest = server.drain_timeout + _LAST_SECONDS
    hits = data_plane.hits()
    terms = _terms(settings, house, settings.upstream.max_body)
    data_wire = HotPath.beside(hits, data_plane.many(hits), terms)
    admin_wire = Wire.under(_terms(settings, house, LARGEST_ORDER))
    idle = settings.limits.idle_timeout
    data_server = server_of(
        data_plane.application(), data_wire, plane=server, ends_in=longest, idle_timeout=idle
    )
    admin_server = server_of(
        admin_plane.application(), admin_wire, plane=admin, ends_in=_LAST_ORDERS, idle_timeout=idle
    )
    return data_server, admin_server


def _listening(
    settings: Settings, data_server: Server, admin_server: Server
) -> tuple[Plane, Plane]:
    server, admin = settings.server, settings.admin
    # The admin port is opened first: if it is taken, this process ends, and must not have callers
    # yet. Callers connect as soon as the data port is open. With `server.reuse_port` the data
    # port opens even while another process uses it.
    admin_socket = listen(admin.host, admin.port, setting="admin.port")
    data_socket = listen(
        server.host, server.port, setting="server.port", reuse_port=server.reuse_port
    )
    data_url = url_of(data_socket, tls=server.tls_cert is not None)
    admin_url = url_of(admin_socket, tls=admin.tls_cert is not None)
    return (
        Plane(data_server, data_socket, data_url),
        Plane(admin_server, admin_socket, admin_url),
    )


def _new_id() -> str:
    return _next_id().decode("ascii")


def _terms(settings: Settings, house: House, max_body: int) -> Terms:
    limits = settings.limits
    bounds = Limits(
        max_head=limits.max_head,
        max_fields=_MOST_FIELDS,
        max_body=max_body,
        max_connections=limits.max_connections,
        head_timeout=limits.head_timeout,
        write_timeout=limits.write_timeout,
    )
    return Terms(bounds, house.clock, _new_id, house.telemetry.requests.access_refused)


def _log_form(settings: Settings) -> LogFormat:
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return settings.log.format or (LogFormat.CONSOLE if is_terminal else LogFormat.JSON)


def _logging(settings: Settings, house: House, form: LogFormat, sink: Sink | None) -> AccessLog:
    level, now = settings.log.level, house.clock.now
    if sink is None:
        on_lost = house.telemetry.counters.count_lost_line
        lines = configure_standard_output(form, level, now=now, on_lost=on_lost)
    else:
        lines = configure(form, level, now=now, sink=sink)
    return AccessLog(lines, level, every=settings.log.hits)


@contextlib.contextmanager
def _stopping(stop: asyncio.Event | None) -> Iterator[asyncio.Task[object]]:
    """A task that ends when `stop` is set, or at a signal if `stop` is None."""
    told = asyncio.Event() if stop is None else stop
    with set_by_signals(told) if stop is None else contextlib.nullcontext():
        waiting = asyncio.ensure_future(told.wait())
        try:
            yield waiting
        finally:
            waiting.cancel()


@contextlib.asynccontextmanager
async def _running(
    house: House, operations: Operations, access_log: AccessLog
) -> AsyncIterator[None]:
    watches = (operations.clients_watch, operations.tokens_watch)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(access_log.summarise_until_cancelled(house.clock.sleep)),
            group.create_task(house.lag.watch()),
            group.create_task(operations.history.watch()),
            group.create_task(operations.findings.watch()),
            *(group.create_task(each.run()) for each in watches if each is not None),
        ]
        if house.redis is not None:
            # Without this wait, the first requests would fetch trainings that Redis has stored, and
            # would have no lease.
            await house.redis.check(_FIRST_LOOK)
            await house.bus.enter()
            tasks.append(group.create_task(house.redis.run()))
        news = house.invalidation
        tasks.append(group.create_task(house.bus.listen(news.apply, news.gap)))
        tasks.append(group.create_task(house.modes.run()))
        if isinstance(house.budget, RedisBudget):
            tasks.append(group.create_task(house.budget.run()))
        tasks.append(group.create_task(house.serving.confirming.run(house.telemetry.connections)))
        tasks.append(
            group.create_task(house.serving.confirming.run_catching_up(house.telemetry.connections))
        )
        background = (house.sweeps.run(), house.serving.refresher.run())
        tasks += [group.create_task(each) for each in background]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            # At its end, the task of the bus tells Redis that this replica is listed no longer.
            # So Redis is closed after the tasks have ended.
            await asyncio.gather(*tasks, return_exceptions=True)
            await house.upstream.close()
            if house.redis is not None:
                await house.redis.close()
            if house.tracer is not None:
                await house.tracer.close(_LAST_SPANS)


@contextlib.asynccontextmanager
async def _serving(*planes: Plane) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Serve the planes. When the `with` block has ended for any reason, the planes have ended
    too."""
    async with asyncio.TaskGroup() as group:
        ends = [group.create_task(plane.serve()) for plane in planes]
        try:
            for plane in planes:
                await plane.server.answering.wait()
            yield ends
        finally:
            for plane in planes:
                plane.server.should_exit = True


async def _turn_away(house: House, ended: asyncio.Task[None]) -> None:
    """Until the data plane has ended, answer 503 to the requests that still wait for an answer of
    Redis or the upstream.

    On one connection, a request begins only after the request before it was answered. So more
    rounds can be necessary. There is a round also if the data plane has ended: background fetches
    can still run. They give back their leases, which they could not do after Redis is closed.
    """
    while True:
        if house.writing is not None:  # first, because no write may begin while the others end
            await house.writing.land(0.0)
        await house.serving.under_way.land(0.0)
        await house.lists.flights.land(0.0)
        if ended.done():
            return
        await asyncio.wait({ended}, timeout=_NEXT_ROUND)


def _allow_connections(connections: int) -> None:
    room = files_for(connections)
    if room < connections:
        logger.warning("gateway.few-files", max_connections=connections, room=room)


def _freeze_garbage_collector() -> None:
    """Leave the present objects out of later garbage collections: they live as long as the
    process."""
    gc.collect()
    gc.freeze()


_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# For this many seconds after the first signal, further signals are ignored. They can have the same
# cause as the first: the command `timeout` signals its child and then the child's group, and a
# shell repeats the terminal's SIGHUP.
_SAME_SIGNAL = 0.02


@contextlib.contextmanager
def set_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` at the first of the signals in `_ENDING`.

    The next signal ends the process. It has the system's default action, which works even while the
    event loop is blocked. For the first process of a container, the kernel drops signals with the
    default action, so `_exit_at_once` ends that process. SIGHUP stays ignored if it was ignored at
    the start (`nohup`).
    """
    loop = asyncio.get_running_loop()
    signals = [each for each in _ENDING if not _is_ignored_hangup(each)]

    def drain() -> None:
        stop.set()
        loop.call_later(_SAME_SIGNAL, end_at_next)

    def end_at_next() -> None:
        for each in signals:
            loop.remove_signal_handler(each)
            signal.signal(each, _exit_at_once if os.getpid() == 1 else signal.SIG_DFL)

    for each in signals:
        loop.add_signal_handler(each, drain)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


def _exit_at_once(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


def _is_ignored_hangup(each: signal.Signals) -> bool:
    return each is signal.SIGHUP and signal.getsignal(each) is signal.SIG_IGN


async def check(settings: Settings) -> tuple[str, ...]:
    """The faults of ports, access files, upstream, Redis and tracing, one line each."""
    faults: list[str] = []
    _check_listening(settings, faults)
    try:
        house = compose(settings)
    except (StartFault, SettingsFault) as fault:
        return (*faults, *map(str, fault.faults))
    try:
        await house.upstream.reachable()
    except UpstreamFailure as failure:
        faults.append(f"upstream.base_url: {failure.what}. {REMEDIES[failure.reason]}")
    finally:
        await house.upstream.close()
        if house.tracer is not None:
            await house.tracer.close(0.0)
    if house.redis is not None:
        try:
            await house.redis.reach()
            await _read_identity(house.redis)
        except RedisUnavailable as away:
            faults.append(f"redis.url: {away} (redis.timeout is {settings.redis.timeout} s)")
        finally:
            await house.redis.close()
    return tuple(faults)


async def _read_identity(redis: Connection) -> None:
    """Try what the scripts of the budget need. Raises RedisUnavailable, for example if the user of
    Redis may not run INFO."""
    await redis.execute(RedisOperation.BUDGET, lambda client: client.info("replication"))


def untried(settings: Settings) -> str:
    """The facts that `check` cannot find out without calls that count against the limit."""
    tokens = {
        AccessMode.PASSTHROUGH: "callers' tokens",
        AccessMode.CLIENTS: "the tenants' tokens",
        AccessMode.OPEN: "upstream.token",
    }[settings.access.mode]
    return f"whether upstream.base_url is the training API, and whether it accepts {tokens}"


def _check_listening(settings: Settings, faults: list[str]) -> None:
    for plane, section in (("server", settings.server), ("admin", settings.admin)):
        try:
            setting, shared = f"{plane}.port", settings.server.reuse_port and plane == "server"
            listen(section.host, section.port, setting=setting, reuse_port=shared).close()
        except StartFault as fault:
            faults.extend(fault.faults)
