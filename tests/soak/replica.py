"""A replica of the soak: its process, its way to Redis and the reader of its log."""

from __future__ import annotations

import fcntl
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak import relay
from tests.support.servers import Process, free_port, listens
from tests.system.commands import Gateway

# The least that the system gives: full after a dozen lines.
_PIPE = 4096
_LONGEST_END = 60.0


@dataclass(slots=True)
class Replica:
    """A gateway that may be killed and started again; `run` counts its lives.

    `is_up` is false from the moment at which it is told to end until it is ready again,
    `is_cut_off` is true while it alone has no Redis; until `forgiven_until` it may not know of
    orders that it missed meanwhile, since Redis lost them before it was back;
    `killed` are the names of the lives that ended by SIGKILL.
    """

    gateway: Gateway
    redis: Process
    log: Process
    run: int = 1
    is_up: bool = True
    is_cut_off: bool = False
    cut_off_at: float = -math.inf
    back_at: float = -math.inf
    forgiven_until: float = 0.0
    killed: set[str] = field(default_factory=set)
    _stops: list[tuple[float, float]] = field(default_factory=list)

    @property
    def may_rescue(self) -> bool:
        """Whether a rescue by it may be older than an order."""
        return self.is_cut_off or time.monotonic() < self.forgiven_until

    def may_not_have_told(self, lost_at: float, within: float) -> bool:
        """Whether Redis, which lost its data then, may not know yet what this replica spent: it was
        cut off, and tells it so many seconds after its return at the latest."""
        is_back = not self.is_cut_off and time.monotonic() >= self.back_at + within
        return lost_at >= self.cut_off_at and not is_back

    @property
    def name(self) -> str:
        """Which life of which replica."""
        return f"{self.gateway.data}#{self.run}"

    def start(self) -> None:
        """Live again."""
        self.run += 1
        self.gateway.process.start()
        self.is_up = True

    def kill(self) -> None:
        """End at once."""
        self.is_up = False
        self.killed.add(self.name)
        self.gateway.process.kill()

    def drain(self) -> str | None:
        """End by SIGTERM; what was wrong about that."""
        self.is_up = False
        try:
            code = self.gateway.process.stop(_LONGEST_END)
        except subprocess.TimeoutExpired:
            return f"{self.name} did not end within {_LONGEST_END:g} s of SIGTERM"
        return f"{self.name} ended with {code} after SIGTERM" if code else None

    def pause(self) -> None:
        """Stand still."""
        self.gateway.process.pause()
        self._stops.append((time.monotonic(), math.inf))

    def resume(self) -> None:
        """Go on."""
        began, _ = self._stops.pop()
        self._stops.append((began, time.monotonic()))
        self.gateway.process.resume()

    def stood_still(self, since: float) -> float:
        """For how many seconds, from then (monotonic) until now."""
        now = time.monotonic()
        return sum(max(0.0, min(now, end) - max(since, began)) for began, end in self._stops)


@contextmanager
def running(
    folder: Path, redis_port: int, upstream: str, settings: dict[str, str]
) -> Iterator[Replica]:
    """One replica with all that belongs to it."""
    with ExitStack() as stack:
        port = free_port()
        way = Process(
            [sys.executable, str(relay.__file__), str(port), str(redis_port)],
            log=folder / f"relay-{port}.log",
            ready=lambda: listens(port),
        )
        stack.enter_context(way)
        own = {"GATEWAY_REDIS__URL": f"redis://127.0.0.1:{port}"}
        gateway = Gateway(folder, upstream, **settings | own)
        log = stack.enter_context(_read(folder, gateway))
        stack.enter_context(gateway.process)
        yield Replica(gateway, way, log)


@contextmanager
def _read(folder: Path, gateway: Gateway) -> Iterator[Process]:
    """A process that reads what the gateway writes; stopped, nobody does."""
    pipe = folder / f"{gateway.process.log.stem}.pipe"
    os.mkfifo(pipe)
    # Open on both sides for as long as it is needed, whoever of the others comes and goes.
    held = os.open(pipe, os.O_RDWR)
    try:
        fcntl.fcntl(held, fcntl.F_SETPIPE_SZ, _PIPE)
        command = gateway.process.command
        gateway.process.command = ["sh", "-c", 'exec "$@" > "$0" 2>&1', str(pipe), *command]
        with Process(
            ["sh", "-c", f"exec 3<>{pipe} && exec cat <&3"],
            log=folder / f"{gateway.process.log.stem}.read.log",
            ready=lambda: True,
        ) as reader:
            yield reader
    finally:
        os.close(held)
