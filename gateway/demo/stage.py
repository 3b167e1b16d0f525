"""The demo from first to last: ports, simulator, gateway, company, and one orderly end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from random import Random
from typing import TextIO

from gateway.app import Addresses, serve
from gateway.app.signals import set_by_signals
from gateway.demo.figures import LiveLine, PlainLines, show
from gateway.demo.upstream import Upstream, simulator
from gateway.demo.visitors import TOKEN, edit, visit
from gateway.settings import Settings, load

_HOST = "127.0.0.1"
_PORT, _ADMIN_PORT, _SIMULATOR_PORT = 8080, 8081, 8090
_EXAMPLE = "trn_000001"
_GREETING = """
The gateway is in front of a simulated upstream: 1,000 trainings, 100 calls a minute.

  live page  {admin}/
  metrics    {admin}/metrics
  status     {admin}/status
  upstream   {upstream}/_control/stats

Try it twice, and look at Cache-Status:

  curl -i -H 'Authorization: Bearer {token}' {data}/training/{id}

Edit that training and ask twice again half a minute later: the second answer is new.

  curl -d '{{"id": "{id}"}}' {upstream}/_control/edit

Ctrl-C ends it.

"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for; a port of None is the usual one, or any if that is taken."""

    port: int | None = None
    admin_port: int | None = None
    simulator_port: int | None = None
    load: bool = True
    log: bool = False


async def run(plan: Plan, out: TextIO) -> None:
    """Put it on until SIGINT, SIGTERM or SIGHUP; raises StartFault, UpstreamEnded."""
    stop = asyncio.Event()
    with set_by_signals(stop):
        async with simulator(_port(plan.simulator_port, _SIMULATOR_PORT, out)) as upstream:
            await _play(plan, upstream, stop, out)
    _tell("ended\n", out)


async def _play(plan: Plan, upstream: Upstream, stop: asyncio.Event, out: TextIO) -> None:
    company: list[asyncio.Task[None]] = []
    display = LiveLine(out) if out.isatty() and not plan.log else PlainLines(out)
    log = display if isinstance(display, LiveLine) else None

    def join(work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        # None of them ends by itself unless something is wrong: then all is over.
        task.add_done_callback(lambda _: stop.set())
        company.append(task)

    def opened(gateway: Addresses) -> None:
        _greet(gateway, upstream, out)
        join(show(gateway.admin, display))
        for work in _company(plan, gateway, upstream):
            join(work)

    join(upstream.watch())
    try:
        await serve(_settings(plan, upstream, out), started=opened, stop=stop, log_to=log)
    finally:
        await _dismiss(company)


def _company(
    plan: Plan, gateway: Addresses, upstream: Upstream
) -> Iterator[Coroutine[object, object, None]]:
    random = Random()
    yield edit(upstream.url, random)
    if plan.load:
        yield visit(gateway.data, random)


async def _dismiss(company: list[asyncio.Task[None]]) -> None:
    """Cancel them all; what one of them failed with before is raised here."""
    for task in company:
        task.cancel()
    for end in await asyncio.gather(*company, return_exceptions=True):
        if isinstance(end, Exception):
            raise end


def _settings(plan: Plan, upstream: Upstream, out: TextIO) -> Settings:
    """Passthrough, so that the printed command shows what a caller does; no Redis."""
    return load(
        None,
        {
            "GATEWAY_SERVER__PORT": str(_port(plan.port, _PORT, out)),
            "GATEWAY_ADMIN__PORT": str(_port(plan.admin_port, _ADMIN_PORT, out)),
            "GATEWAY_UPSTREAM__BASE_URL": upstream.url,
            "GATEWAY_ACCESS__MODE": "passthrough",
            "GATEWAY_LOG__FORMAT": "console",
            "GATEWAY_LOG__LEVEL": "info" if plan.log else "warning",
        },
    )


def _port(asked: int | None, usual: int, out: TextIO) -> int:
    """The port asked for, else the usual one, else any (0)."""
    if asked is not None:
        return asked
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, usual))
        except OSError:
            _tell(f"port {usual} is taken: another one instead\n", out)
            return 0
    return usual


def _greet(gateway: Addresses, upstream: Upstream, out: TextIO) -> None:
    words = {"data": gateway.data, "admin": gateway.admin, "upstream": upstream.url}
    _tell(_GREETING.format(**words, token=TOKEN, id=_EXAMPLE), out)


def _tell(text: str, out: TextIO) -> None:
    out.write(text)
    out.flush()
