"""What is asked of whom, in which order, and what came of it.

Every round asks each server the same in turn, so that a busy machine is busy for all.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.bench import stands
from tests.bench.load import Run, closed, open_loop
from tests.bench.stands import IDS, TOKEN, Stand
from tests.servers import HOST, Process, RedisServer

KINDS = {
    "repeated": "hit, headers repeated",
    "changing": "hit, new traceparent and id each",
    "conditional": "304 on If-None-Match",
    "absent": "404 remembered",
}
GATEWAY_ONLY = {
    "redis": "hit in Redis, not in L1",
    "stale": "stale, upstream gone",
    "hung": "hit while Redis hangs",
    "clients": "hit, mode clients, a rate of its own",
}
_PEERS = ("gateway", "floor", "nginx", "nginx-common", "varnish")


@dataclass(slots=True)
class Results:
    """Runs by case and server; p99 by rate and server; bytes an entry by body size."""

    runs: dict[str, dict[str, list[Run]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    open: dict[int, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    memory: dict[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: seconds a run, rounds, and how many entries for the memory."""

    seconds: int
    rounds: int
    entries: int
    open_loop: bool


@dataclass(slots=True)
class _Field:
    """All servers, started and warm."""

    folder: Path
    redis: RedisServer
    common: dict[str, Stand]
    cold_l1: Stand
    stale: Stand
    clients: Stand
    tags: dict[str, Path] = field(default_factory=dict)


def measure(plan: Plan, folder: Path, say: Callable[[str], None]) -> Results:
    """Start everything, warm it, and measure it round by round."""
    results = Results()
    with _everything(folder, say) as every:
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            _round(every, plan, results, say)
    for size in (1_024, 4_096, 16_384, 65_536):
        results.memory[size] = _memory(size, max(1_000, plan.entries * 1_600 // size))
        say(f"memory of an entry of {size} bytes: {results.memory[size][0]:.0f} bytes")
    return results


@contextlib.contextmanager
def _everything(folder: Path, say: Callable[[str], None]) -> Iterator[_Field]:
    with contextlib.ExitStack() as stack:
        upstream, _ = stack.enter_context(stands.simulator(folder))
        gone, simulator = stack.enter_context(stands.simulator(_sub(folder, "gone")))
        redis = stack.enter_context(RedisServer(folder))
        common = {
            "floor": stack.enter_context(stands.floor(folder)),
            "nginx": stack.enter_context(stands.nginx(folder, upstream)),
            "nginx-common": stack.enter_context(stands.nginx(folder, upstream, "nginx-common")),
            "varnish": stack.enter_context(stands.varnish(folder, upstream)),
            "gateway": stack.enter_context(stands.gateway(folder, upstream, redis)),
        }
        cold = {"GATEWAY_L1__MAX_BYTES": "1KiB", "GATEWAY_REDIS__PREFIX": "cold"}
        short = {"GATEWAY_FRESHNESS__LIFETIME": "1s", "GATEWAY_FRESHNESS__STALE_IF_ERROR": "24h"}
        every = _Field(
            folder,
            redis,
            common,
            stack.enter_context(stands.gateway(folder, upstream, redis, "cold-l1", cold)),
            stack.enter_context(stands.gateway(folder, gone, None, "stale", short)),
            stack.enter_context(
                stands.gateway(folder, upstream, redis, "clients", stands.clients(folder))
            ),
        )
        _warm(every, simulator, say)
        yield every


def _warm(every: _Field, simulator: Process, say: Callable[[str], None]) -> None:
    for stand in [*every.common.values(), every.cold_l1, every.stale, every.clients]:
        if stand.name == "floor":
            continue
        say(f"warming {stand.name}")
        every.tags[stand.name] = _ask_all(stand, every.folder)
    simulator.kill()
    time.sleep(1.1)  # what the one behind it holds is stale from now on


def _ask_all(stand: Stand, folder: Path) -> Path:
    """Ask twice for every training, once for what is not there; the entity tags, a line each."""
    tags = folder / f"tags-{stand.name}.txt"
    limits = httpx.Limits(max_connections=4)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    base = f"http://{HOST}:{stand.port}/training/"
    with httpx.Client(headers=headers, timeout=30, trust_env=False, limits=limits) as client:
        answers = [client.get(f"{base}trn_{n:06d}") for n in range(1, IDS + 1) for _ in range(2)]
        for n in range(1, IDS + 1):
            client.get(f"{base}absent-{n}")
    assert {answer.status_code for answer in answers} == {200}, f"{stand.name} is not warm"
    lines = [answer.headers.get("etag", "") for answer in answers[1::2]]
    tags.write_text("\n".join(lines) + "\n")
    return tags


def _round(every: _Field, plan: Plan, results: Results, say: Callable[[str], None]) -> None:
    for kind in KINDS:
        for name in _PEERS:
            stand = every.common[name]
            tags = every.tags.get(name) if kind == "conditional" else None
            if name == "floor" and kind != "repeated":
                continue
            _note(results, kind, closed(stand, kind, plan.seconds, tags), name, say)
    _note(results, "redis", closed(every.cold_l1, "repeated", plan.seconds), "gateway", say)
    clients = closed(every.clients, "repeated", plan.seconds)
    _note(results, "clients", clients, "gateway", say)
    _note(results, "stale", closed(every.stale, "repeated", plan.seconds), "gateway", say)
    every.redis.pause()
    try:
        _note(
            results,
            "hung",
            closed(every.common["gateway"], "repeated", plan.seconds),
            "gateway",
            say,
        )
    finally:
        every.redis.resume()
    time.sleep(2)  # the gateway sees that it is back
    if plan.open_loop:
        _open_loop(every, plan, results, say)


def _open_loop(every: _Field, plan: Plan, results: Results, say: Callable[[str], None]) -> None:
    """At half of what the slowest of the three can do, and at a tenth of it."""
    compared = ("gateway", "nginx", "varnish")
    slowest = min(results.runs["repeated"][name][-1].rate for name in compared)
    for share in (0.1, 0.5):
        rate = round(slowest * share / 1000) * 1000
        for name in compared:
            p99 = open_loop(every.common[name], rate, plan.seconds, every.folder)
            results.open[rate][name].append(p99)
            say(f"open loop at {rate}/s, {name}: p99 {p99:.2f} ms")


def _note(results: Results, kind: str, run: Run, name: str, say: Callable[[str], None]) -> None:
    results.runs[kind][name].append(run)
    say(
        f"{kind}, {name}: {run.cpu:.1f} µs of CPU a request, {run.rate:.0f}/s, p99 {run.p99:.2f} ms"
    )


def _memory(size: int, count: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "tests.bench.memory", str(size), str(count)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(said[0]), float(said[1])


def _sub(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name
