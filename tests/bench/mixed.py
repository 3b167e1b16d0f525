"""Hits in an open loop while everything else goes on: a sweep, refreshes, look-ups, orders.

The gateway is measured twice: with nothing but hits and no sweep, and with all of it. nginx has its
own refreshes, as many a second. Callers go before the simulator and Redis on the core that they
share: otherwise the time until a caller sees an answer would be the time that those two take.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.bench import stands
from tests.bench.background import Done
from tests.bench.callers import Tail
from tests.bench.growth import Say
from tests.bench.load import LoadFailed, closed
from tests.bench.stands import CALLER_CORE, IDS, NGINX, TOKEN, Stand
from tests.support.servers import HOST, ROOT, RedisServer

# The catalogue that is swept, the trainings beyond the hits' that are looked up in Redis, and the
# calls a minute: half of them for the sweep, half for refreshes. L1 has room for the hits'
# trainings and as many more as are looked up in three seconds: what is looked up once in twenty
# seconds is not kept there.
_TRAININGS = 20_000
_LOOKED_UP = 2_000
_SETTINGS = {
    "GATEWAY_ACCESS__MODE": "open",
    "GATEWAY_UPSTREAM__TOKEN": TOKEN,
    "GATEWAY_UPSTREAM__RATE_LIMIT": "6000/minute",
    "GATEWAY_UPSTREAM__COLD_START": "full",
    "GATEWAY_UPSTREAM__MAX_BACKGROUND": "20",
    "GATEWAY_L1__MAX_BYTES": "5MiB",
    "GATEWAY_SWEEP__ENABLED": "true",
    "GATEWAY_SWEEP__INTERVAL": "1s",
    "GATEWAY_SWEEP__WARM": "off",
}
# What is stale two seconds after the sweep has met it is refreshed: fifty a second, as twenty at
# once and the calls that the sweep leaves allow.
_STALE_AFTER = "2s"
# The most hits a second: on one core, beside the simulator, callers send no more of them in time.
_MOST_HITS = 12_000
# Seconds in which nginx refreshes each training once: fifty a second.
_LIFETIME = 20
# Seconds of reads until a gateway that was just started sweeps at its pace: where another one has
# swept before, and where none has (two sweeps that are slower).
_UNTIL_SWEPT = 5
_FIRST_SWEEPS = 30
QUIET = "gateway, quiet"
# As the callers of the load do: a compressed answer is an entry of its own.
_AS_CALLERS = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}


@dataclass(slots=True)
class Mixed:
    """By server, one of a round; what went on beside the gateway's hits; the rate."""

    rate: float = 0.0
    tails: dict[str, list[Tail]] = field(default_factory=dict)
    beside: list[Done] = field(default_factory=list)

    def median(self, name: str, what: str) -> float:
        """Of that field of `Tail`, over the rounds."""
        return float(statistics.median(getattr(tail, what) for tail in self.tails[name]))


@dataclass(frozen=True, slots=True)
class Field:
    """The servers, warm. The gateway that sweeps runs only while it is measured, because its sweep
    takes a part of both cores."""

    quiet: Stand
    busy: Callable[[], contextlib.AbstractContextManager[Stand]]
    nginx: tuple[Stand, ...]
    python: str

    def round(self, rate: float, seconds: int, results: Mixed, say: Say) -> None:
        """Each of them once, at that rate of hits, or at the most that the callers send."""
        results.rate = rate = min(rate, _MOST_HITS)
        closed(self.quiet, "repeated", 1)  # what nobody read for long is confirmed first
        _note(results, QUIET, self._hits(self.quiet, rate, seconds), say)
        for stand in self.nginx:
            _spread(stand)
            _note(results, stand.name, self._hits(stand, rate, seconds), say)
        with self.busy() as busy:
            closed(busy, "repeated", _UNTIL_SWEPT)
            with self._background(busy, seconds, results):
                tail = self._hits(busy, rate, seconds)
        _note(results, "gateway", tail, say)
        say(f"beside them: {results.beside[-1]}")

    def _hits(self, stand: Stand, rate: float, seconds: int) -> Tail:
        numbers = map(str, (stand.port, TOKEN, IDS, rate, seconds))
        command = [*_ahead_of_all(), *self._command("callers", *numbers)]
        said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        tail = Tail(**json.loads(said.stdout))
        if tail.failed:
            raise LoadFailed(f"{stand.name}: {tail.failed} of {tail.count} not answered as asked")
        return tail

    @contextlib.contextmanager
    def _background(self, busy: Stand, seconds: int, results: Mixed) -> Iterator[None]:
        numbers = map(str, (busy.port, busy.admin, TOKEN, IDS + 1, _LOOKED_UP, seconds))
        command = self._command("background", *numbers)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as beside:
            try:
                yield
            except BaseException:
                beside.kill()
                raise
            results.beside.append(_done(beside.communicate()[0]))

    def _command(self, module: str, *arguments: str) -> list[str]:
        program = [self.python, "-m", f"tests.bench.{module}", *arguments]
        return ["taskset", "-c", CALLER_CORE, *program]


@contextlib.contextmanager
def field_of(folder: Path, redis: RedisServer, python: str, say: Say) -> Iterator[Field]:
    """Start all of it, and have it read."""
    stands.move(redis.pid, CALLER_CORE)
    with contextlib.ExitStack() as stack:
        upstream, _ = stack.enter_context(
            stands.simulator(folder, trainings=_TRAININGS, tags="none", is_patient=True)
        )

        def gateway(name: str, **settings: str) -> Stand:
            changed = {f"GATEWAY_{setting}": value for setting, value in settings.items()}
            return stack.enter_context(
                stands.gateway(folder, upstream, redis, name, _SETTINGS | changed, python=python)
            )

        filler = gateway("filler", UPSTREAM__RATE_LIMIT="unlimited", SWEEP__ENABLED="false")
        _fill(filler)
        filler.process.stop()
        starts = itertools.count(1)

        def busy() -> contextlib.AbstractContextManager[Stand]:
            name = f"busy-{next(starts)}"
            own = _SETTINGS | {"GATEWAY_FRESHNESS__LIFETIME": _STALE_AFTER}
            return stands.gateway(folder, upstream, redis, name, own, python=python)

        with busy() as first:
            say("sweeping for the first time for the mixed case")
            closed(first, "repeated", _FIRST_SWEEPS)
        every = Field(
            gateway("quiet", SWEEP__ENABLED="false"),
            busy,
            tuple(
                stack.enter_context(stands.nginx(folder, upstream, name, lifetime=f"{_LIFETIME}s"))
                for name in NGINX
            ),
            python,
        )
        for stand in (every.quiet, *every.nginx):
            say(f"warming {stand.name} for the mixed case")
            closed(stand, "repeated", 2)
        yield every


def _ahead_of_all() -> list[str]:
    """What has a command run before all others of its core, where that is allowed."""
    return ["chrt", "--fifo", "10"] if os.geteuid() == 0 else []


def _spread(stand: Stand) -> None:
    """Read each training once within its lifetime, evenly: as they are in long use, they fall due
    one after the other. What stood idle is all due at once, and refreshed in one heap."""
    with httpx.Client(timeout=30, trust_env=False, headers=_AS_CALLERS) as client:
        began = time.monotonic()
        for number in range(IDS):
            time.sleep(max(0.0, began + number * _LIFETIME / IDS - time.monotonic()))
            answer = client.get(f"http://{HOST}:{stand.port}/training/trn_{number + 1:06d}")
            assert answer.is_success, f"a training was answered {answer.status_code}"


def _fill(stand: Stand) -> None:
    """Have Redis hold what will be read: within the limit that would take half a minute."""
    with httpx.Client(timeout=30, trust_env=False) as client:
        for number in range(1, IDS + _LOOKED_UP + 1):
            answer = client.get(f"http://{HOST}:{stand.port}/training/trn_{number:06d}")
            assert answer.is_success, f"a training was answered {answer.status_code}"


def _done(said: str) -> Done:
    done = Done(**json.loads(said))
    if done.faults:
        raise LoadFailed(f"beside the hits: {done.faults}")
    return done


def _note(results: Mixed, name: str, tail: Tail, say: Say) -> None:
    results.tails.setdefault(name, []).append(tail)
    say(
        f"{results.rate:.0f} hits/s, {name}: p50 {tail.p50:.2f}, p99 {tail.p99:.2f},"
        f" p99.9 {tail.p999:.2f}, longest {tail.longest:.1f} ms; callers late {tail.late_p99:.2f}"
    )
