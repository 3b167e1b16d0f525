"""Load on one server and what it cost: wrk for the closed loop, h2load for the open one.

CPU is the server's own accounting, user and system, of the process and its children: it barely
moves when the machine is busy, while requests a second do.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.stands import CALLER_CORE, CONFIGS, IDS, TOKEN, Stand
from tests.support.servers import HOST

CONNECTIONS = 64
_TICK = os.sysconf("SC_CLK_TCK")


class LoadFailed(Exception):
    """The server did not answer as it should have, so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: microseconds of CPU a request, requests a second, latencies in milliseconds."""

    cpu: float
    rate: float
    p50: float
    p99: float


def closed(stand: Stand, kind: str, seconds: int, tags: Path | None = None) -> Run:
    """As many requests as CONNECTIONS callers can make, each waiting for its answer.

    `kind` is the first argument of configs/hit.lua; `tags` holds an entity tag a line.
    """
    arguments = [kind, str(IDS), TOKEN, *([str(tags)] if tags else [])]
    return run_wrk(stand, "hit", arguments, seconds, CONNECTIONS, refused=kind == "absent")


def misses(stand: Stand, first: int, seconds: int, callers: int) -> Run:
    """The same by so many callers, each request for the training after the one before, from the
    number `first` on."""
    return run_wrk(stand, "hit", ["miss", str(first), TOKEN], seconds, callers)


def run_wrk(
    stand: Stand,
    script: str,
    arguments: list[str],
    seconds: int,
    connections: int,
    *,
    refused: bool = False,
) -> Run:
    """A closed loop by one of configs/*.lua; `refused`: no answer is to be a 2xx or 3xx."""
    before = sum(map(cpu_seconds, stand.pids))
    said = _run(
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout=10s"),
            *("-s", str(CONFIGS / f"{script}.lua"), f"http://{HOST}:{stand.port}", "--"),
            *arguments,
        ]
    )
    used = sum(map(cpu_seconds, stand.pids)) - before
    try:
        # The floor parses nothing, so that its answers need not fit.
        return run_of(said, used, None if stand.name == "floor" else refused)
    except LoadFailed as fault:
        raise LoadFailed(f"{stand.name}, {script}, {arguments}: {fault}") from fault


def run_of(said: str, used: float, refused: bool | None) -> Run:
    """What wrk said, and the seconds of CPU that it took; all answers were to be refusals, or
    none, or (None) it does not matter."""
    requests = int(_found(r"(\d+) requests in", said))
    if not requests:
        raise LoadFailed(f"no answer at all\n{said}")
    others = int(_found(r"Non-2xx or 3xx responses: (\d+)", said, "0"))
    errors = re.search(r"Socket errors: .*", said)
    if refused is not None and (errors or others != requests * refused):
        raise LoadFailed(f"{others} of {requests} not as asked; {errors and errors[0]}")
    return Run(
        cpu=used / requests * 1e6,
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", said)),
        p50=_milliseconds(_found(r"(?m)^\s+50%\s+(\S+)", said)),
        p99=_milliseconds(_found(r"(?m)^\s+99%\s+(\S+)", said)),
    )


def open_loop(stand: Stand, rate: float, seconds: int, folder: Path) -> float:
    """The 99th percentile (ms) at a fixed rate of requests, whether answers come or not: to the
    next multiple of CONNECTIONS, each of which asks a whole number of times a second."""
    ids, log = folder / "ids.txt", folder / f"h2load-{stand.name}.log"
    lines = (f"http://{HOST}:{stand.port}/training/trn_{n:06d}" for n in range(1, IDS + 1))
    ids.write_text("\n".join(lines) + "\n")
    log.unlink(missing_ok=True)
    each = max(1, round(rate / CONNECTIONS))
    _run(
        [
            *("h2load", "--h1", "-t1", f"-c{CONNECTIONS}", f"-D{seconds}", f"--rps={each}"),
            *("-i", str(ids), f"--log-file={log}", "-H", f"authorization: Bearer {TOKEN}"),
        ]
    )
    return p99_of(log.read_text())


def p99_of(log: str) -> float:
    """The 99th percentile (ms) of the good answers in h2load's log, nearly all of which must be."""
    records = [line.split("\t") for line in log.splitlines()]
    times = sorted(int(record[2]) for record in records if record[1] == "200")
    if len(times) < 0.9 * len(records) or not times:
        raise LoadFailed(f"{len(times)} of {len(records)} answers were 200")
    return times[int(len(times) * 0.99)] / 1000


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and all that it started, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = (int(fields[11]) + int(fields[12])) / _TICK
    return own + sum(cpu_seconds(int(child)) for child in children)


def _run(command: list[str]) -> str:
    done = subprocess.run(
        ["taskset", "-c", CALLER_CORE, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LoadFailed(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def _found(pattern: str, text: str, absent: str | None = None) -> str:
    match = re.search(pattern, text)
    if match is not None:
        return match[1]
    if absent is None:
        raise LoadFailed(f"{pattern!r} is not in what wrk said:\n{text}")
    return absent


def _milliseconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s)", text)
    if match is None:
        raise LoadFailed(f"wrk gave {text!r} for a latency")
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]
