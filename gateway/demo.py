"""The demo of `make run`: a simulator, a gateway, a few requests and edits. Ctrl-C ends all of it.

Nothing here is part of a real gateway.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from random import Random
from typing import TextIO

import httpx
import msgspec

from gateway.app import Addresses, serve
from gateway.app.run import set_by_signals
from gateway.settings import Settings, load
from gateway.simulator import SimulatorClient

_HOST = "127.0.0.1"
# All addresses here are http. The context that httpx makes by itself reads many certificates, which
# holds the event loop for 50 ms, and the gateway runs in the same loop.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_PORT, _ADMIN_PORT, _SIMULATOR_PORT = 8080, 8081, 8090
_EXAMPLE = "trn_000001"
_OWN_TOKEN = "gateway-token"
_GREETING = """
The gateway is in front of a simulated API: 1,000 trainings, 100 calls a minute.

  live page  {admin}/
  metrics    {admin}/metrics
  status     {admin}/status
  API        {upstream}/_control/stats

Run this command twice: it shows where each response came from.

  curl -sI {data}/training/{id} | grep -i cache-status

The next command edits this training at the API. The gateway has the new version after half a
minute at most. The last command shows which version it has.

  curl -s -o /dev/null -d '{{"id": "{id}"}}' {upstream}/_control/edit
  curl -sI {data}/training/{id} | grep -i updated-at

These read two trainings at once, and a page of the list.

  curl -s '{data}/training?ids={id},trn_000002'
  curl -sI '{data}/training?limit=100'

Ctrl-C ends the demo.

"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of the demo.

    A port that is None becomes the usual port, or any free port if the usual port is taken. `load`:
    the demo sends requests to the gateway. `log`: the gateway logs each call to the API too, not
    only warnings.
    """

    port: int | None = None
    admin_port: int | None = None
    simulator_port: int | None = None
    load: bool = True
    log: bool = False


async def run(plan: Plan, out: TextIO) -> None:
    """Run the demo until SIGINT, SIGTERM or SIGHUP. Raises StartFault, SettingsFault or
    UpstreamEnded."""
    stop = asyncio.Event()
    plan = _ports(plan, out)
    with set_by_signals(stop):
        async with simulator(plan.simulator_port or 0) as upstream:
            await _play(plan, upstream, stop, out)
    _tell("ended\n", out)


async def _play(plan: Plan, upstream: Upstream, stop: asyncio.Event, out: TextIO) -> None:
    tasks: list[asyncio.Task[None]] = []
    display = LiveLine(out) if out.isatty() and not plan.log else PlainLines(out)
    log = display if isinstance(display, LiveLine) else None

    def begin(work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        # A task that ends by itself has failed. Then the demo ends.
        task.add_done_callback(lambda _: stop.set())
        tasks.append(task)

    def started(gateway: Addresses) -> None:
        begin(_present(gateway, upstream, display, out))
        for work in _edits_and_requests(plan, gateway, upstream):
            begin(work)

    begin(upstream.watch())
    try:
        await serve(_settings(plan, upstream), started=started, stop=stop, log_to=log)
    finally:
        await _cancel(tasks)


def _edits_and_requests(
    plan: Plan, gateway: Addresses, upstream: Upstream
) -> Iterator[Coroutine[object, object, None]]:
    random = Random()
    yield edit(upstream.url, random)
    if plan.load:
        yield visit(gateway.data, random)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel all tasks. Raises the exception of a task that failed before."""
    for task in tasks:
        task.cancel()
    for end in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(end, Exception):
            raise end


def _settings(plan: Plan, upstream: Upstream) -> Settings:
    """The settings of the gateway. The access mode is open, so that the printed commands are short.

    The gateway has a token of its own at the simulator. Calls to the simulator with another token
    therefore do not count against the gateway's limit.
    """
    return load(
        None,
        {
            "GATEWAY_SERVER__PORT": str(plan.port),
            "GATEWAY_ADMIN__PORT": str(plan.admin_port),
            "GATEWAY_UPSTREAM__BASE_URL": upstream.url,
            "GATEWAY_UPSTREAM__TOKEN": _OWN_TOKEN,
            "GATEWAY_UPSTREAM__COLD_START": "full",  # nobody has called the simulator before
            "GATEWAY_ACCESS__MODE": "open",
            "GATEWAY_LOG__FORMAT": "console",
            "GATEWAY_LOG__LEVEL": "info" if plan.log else "warning",
        },
    )


def _ports(plan: Plan, out: TextIO) -> Plan:
    """The plan with all ports. A port that was None becomes the usual port, or 0 (any free port) if
    the usual port is taken or is asked for elsewhere in the plan."""
    asked = plan.port, plan.admin_port, plan.simulator_port
    usual = _PORT, _ADMIN_PORT, _SIMULATOR_PORT
    data, admin, upstream = (_port(*each, asked, out) for each in zip(asked, usual, strict=True))
    return replace(plan, port=data, admin_port=admin, simulator_port=upstream)


def _port(asked: int | None, usual: int, all_asked: Collection[int | None], out: TextIO) -> int:
    if asked is not None:
        return asked
    if usual not in all_asked and _is_free(usual):
        return usual
    _tell(f"port {usual} is taken, so the demo uses a free port\n", out)
    return 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


async def _present(
    gateway: Addresses, upstream: Upstream, display: PlainLines | LiveLine, out: TextIO
) -> None:
    """Write the greeting, and show the figures until cancelled. One task does both. If nobody
    reads `out` any more, BrokenPipeError ends this task and the demo, and `run` raises it."""
    words = {"data": gateway.data, "admin": gateway.admin, "upstream": upstream.url}
    _tell(_GREETING.format(**words, id=_EXAMPLE), out)
    await show(gateway.admin, display)


def _tell(text: str, out: TextIO) -> None:
    out.write(text)
    out.flush()


_START_WITHIN = 20.0
_END_WITHIN = 5.0


class UpstreamEnded(Exception):
    """The simulator did not start, or has ended."""


class Upstream:
    """A running simulator at `url`."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self.url = url

    async def watch(self) -> None:
        """Wait until the simulator ends, and raise UpstreamEnded."""
        exit_code = await self._process.wait()
        raise UpstreamEnded(f"the simulator ended with exit code {exit_code}")


@asynccontextmanager
async def simulator(port: int) -> AsyncIterator[Upstream]:
    """Run a simulator while the block runs. Raises UpstreamEnded if it does not start."""
    # If this process is killed, the simulator's standard input closes, and the simulator ends. The
    # simulator has a session of its own: Ctrl-C must not end it before the gateway has drained.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "simulate"),
        *("--port", str(port), "--until-stdin-closes"),
        *("--key", f"{_OWN_TOKEN}=demo", "--key", f"{TOKEN}=demo"),
        stdin=PIPE,
        stdout=PIPE,
        start_new_session=True,
    )
    try:
        yield Upstream(process, await _url_of(process))
    finally:
        await _end_process(process)


async def _url_of(process: Process) -> str:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_WITHIN)
    except TimeoutError:
        raise UpstreamEnded("the simulator did not start in time") from None
    if not line:
        raise UpstreamEnded("the simulator did not start")
    return line.decode().split()[-1]


async def _end_process(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _END_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()


TOKEN = "demo-token"
# The first training is left out: the printed command has to show a miss of it, and then a hit.
POPULAR = tuple(f"trn_{number:06d}" for number in range(2, 18))
_WEIGHTS = tuple(1.0 / rank for rank in range(1, len(POPULAR) + 1))
_SELDOM = range(100, 1001)
_SELDOM_SHARE = 0.03

_PAUSE = 0.3
# Each _ADD_EVERY seconds, `visit` adds one training to the trainings that it requests.
_ADD_EVERY = 1.5
_EDIT_EVERY = 10.0
_ANSWER_WITHIN = 15.0


async def visit(gateway_url: str, random: Random) -> None:
    """Send a few requests a second, until cancelled. Popular trainings are requested more often
    than others (Zipf's law)."""
    async with httpx.AsyncClient(
        base_url=gateway_url, verify=_NO_TLS, trust_env=False, timeout=_ANSWER_WITHIN
    ) as client:
        # The first requests are for one training. More trainings are added one at a time. If all
        # were requested at once, their misses would soon spend all free calls.
        added = 1.0
        while True:
            await asyncio.sleep(random.expovariate(1 / _PAUSE))
            added = min(added + _PAUSE / _ADD_EVERY, len(POPULAR))
            try:
                await client.get(f"/training/{_choose(random, int(added))}")
            except httpx.TransportError:
                continue


async def edit(simulator_url: str, random: Random) -> None:
    """Edit a popular training every ten seconds, until cancelled."""
    async with SimulatorClient(simulator_url) as control:
        while True:
            await asyncio.sleep(_EDIT_EVERY)
            try:
                await control.edit(random.choice(POPULAR))
            except httpx.HTTPError:
                continue


def _choose(random: Random, added: int) -> str:
    if added == len(POPULAR) and random.random() < _SELDOM_SHARE:
        return f"trn_{random.choice(_SELDOM):06d}"
    return random.choices(POPULAR[:added], _WEIGHTS[:added])[0]


_FIGURES_WITHIN = 5.0
_ERASE = "\r\x1b[2K"


class _Counts(msgspec.Struct, frozen=True):
    requests: int
    upstream_calls: int
    edits: int = msgspec.field(name="invalidations.updated_at")


class _Budget(msgspec.Struct, frozen=True):
    limit: int | None
    available: int | None


class _Finding(msgspec.Struct, frozen=True):
    level: str
    says: str


class Status(msgspec.Struct, frozen=True):
    """The part of the admin plane's `/status` that is shown."""

    findings: list[_Finding]
    hit_rate: float
    figures: _Counts
    budgets: dict[str, _Budget]


class PlainLines:
    """Shows the figures in a new line every ten seconds."""

    every = 10.0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, text: str) -> None:
        """Write one more line."""
        self._out.write(f"{text}\n")
        self._out.flush()

    def clear(self) -> None:
        """Do nothing. Written lines stay."""


class LiveLine:
    """Shows the figures in one line of a terminal, and log lines above it."""

    every = 1.0

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = ""

    def show(self, text: str) -> None:
        """Replace the line with `text`, cut to the terminal's width."""
        self._shown = text[: shutil.get_terminal_size().columns - 1]
        self._put("")

    def write(self, line: bytes) -> None:
        """Write a whole log line above the figures."""
        self._put(line.decode(errors="replace"))

    def clear(self) -> None:
        """Remove the line."""
        self.show("")

    def _put(self, above: str) -> None:
        self._out.write(f"{_ERASE}{above}{self._shown}")
        self._out.flush()


async def show(admin_url: str, display: PlainLines | LiveLine) -> None:
    """Show the figures again and again, until cancelled."""
    try:
        async with httpx.AsyncClient(
            verify=_NO_TLS, trust_env=False, timeout=_FIGURES_WITHIN
        ) as client:
            while True:
                await asyncio.sleep(display.every)
                display.show(await _line(client, admin_url))
    finally:
        display.clear()


def sentence(status: Status) -> str:
    """The worst finding, the figures since the start, and the free calls."""
    figures = status.figures
    wrong = "".join(f"{each.says}   " for each in status.findings[:1] if each.level != "good")
    budget = "".join(
        f"   {each.available} of {each.limit} calls free"
        for each in status.budgets.values()
        if each.limit is not None
    )
    return (
        f"{wrong}requests {figures.requests}   hits {status.hit_rate:.0%}   "
        f"calls {figures.upstream_calls}   edits seen {figures.edits}{budget}"
    )


async def _line(client: httpx.AsyncClient, admin_url: str) -> str:
    try:
        answer = (await client.get(f"{admin_url}/status")).raise_for_status()
    except httpx.HTTPError as error:
        return f"no figures: {str(error) or type(error).__name__}"
    return sentence(msgspec.json.decode(answer.content, type=Status))
