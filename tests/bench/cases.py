"""What is asked of whom, in which order, and what came of it.

Every round asks each server the same in turn, so that a busy machine is busy for all.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import httpx

from tests.bench import stands
from tests.bench.growth import Curve, Say, curves
from tests.bench.load import Run, closed, misses, open_loop
from tests.bench.mixed import Mixed, field_of
from tests.bench.process import first_answer, memory_of
from tests.bench.stands import IDS, NGINX, TOKEN, Checkout, Stand
from tests.support.servers import HOST, Process, RedisServer

KINDS = {
    "repeated": "hit, headers repeated",
    "changing": "hit, new traceparent and id each",
    "conditional": "304 on If-None-Match",
    "absent": "404 remembered",
}
GATEWAY_ONLY = {
    "redis": "hit in Redis, not in L1",
    "stale": "stale, upstream gone",
    "rescued": "stale, upstream gone for long",
    "hung": "hit while Redis hangs",
    "clients": "hit, mode clients, a rate of its own",
    "pair": "hit, two processes on one port",
}
# A training that nobody asked for before, by so many callers; nginx takes part without Redis.
MISSES = {
    f"{name}-{callers}": f"{title}, {callers} callers"
    for name, title in {"miss": "miss, no Redis", "miss-redis": "miss, with Redis"}.items()
    for callers in (8, 64)
}
COMPARED = ("gateway", *NGINX, "varnish")
SHARES = (0.1, 0.5)
# Trainings for the misses of all rounds, more than nginx fetches of them, and the seconds that a
# run of misses takes at most.
_MANY = 90_000
_MISSES_FOR = 1
# Whose rates the mixed case goes by, and how many times as long as others its runs take: metrics
# are read each five seconds.
_MIXED = ("gateway", "nginx")
_MIXED_FOR = 4
_PEERS = ("gateway", "beside", "floor", *NGINX, "nginx-common", "varnish")


@dataclass(slots=True)
class Results:
    """Runs by case and server; p99 by share of the slowest's rate and server, and those rates;
    what `memory` measures by body size; milliseconds to the first answer; CPU as things grow;
    hits while everything else goes on."""

    runs: dict[str, dict[str, list[Run]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    open: dict[float, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    rates: dict[float, float] = field(default_factory=dict)
    memory: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    start: list[float] = field(default_factory=list)
    growth: dict[str, Curve] = field(default_factory=dict)
    mixed: Mixed = field(default_factory=Mixed)

    def of(self, kind: str, name: str = "gateway") -> list[Run]:
        """A server's runs; for nginx, those of the form that cost less in this case."""
        forms = [self.runs[kind].get(each, []) for each in _forms(name)]
        return min(filter(None, forms), key=_median_cpu, default=[])

    def cpu(self, kind: str, name: str = "gateway") -> float:
        """Their median, in microseconds a request."""
        return _median_cpu(self.of(kind, name))

    def tail(self, share: float, name: str) -> float:
        """The median of the 99th percentiles (ms) of the open loop; of nginx, the better form's."""
        forms = [self.open[share].get(each, []) for each in _forms(name)]
        return min(map(statistics.median, filter(None, forms)))


def _forms(name: str) -> tuple[str, ...]:
    return NGINX if name == "nginx" else (name,)


def _median_cpu(runs: list[Run]) -> float:
    return statistics.median(run.cpu for run in runs)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: seconds a run, rounds, how many entries for the memory, whether
    things grow; `python` runs gateway and floor; `beside` is another checkout to compare with."""

    seconds: int
    rounds: int
    entries: int
    grows: bool
    python: str
    beside: Checkout | None = None


@dataclass(slots=True)
class _Field:
    """All servers, started and warm; those of `missing` have nothing stored, and `next_id` says
    which training nobody has asked each of them for."""

    folder: Path
    redis: RedisServer
    common: dict[str, Stand]
    cold_l1: Stand
    stale: Stand
    rescued: Stand
    clients: Stand
    pair: Stand
    missing: dict[str, dict[str, Stand]]
    next_id: dict[Stand, int] = field(default_factory=lambda: defaultdict(lambda: 1))
    tags: dict[str, Path] = field(default_factory=dict)


def measure(plan: Plan, folder: Path, say: Say) -> Results:
    """Start everything, warm it, and measure it round by round."""
    results = Results()
    with _everything(folder, plan, say) as every:
        for number in range(plan.rounds):
            say(f"round {number + 1} of {plan.rounds}")
            _round(every, plan, results, say)
    _mixed(_sub(folder, "mixed"), plan, results, say)
    for size in (1_024, 4_096, 16_384, 65_536):
        count = max(1_000, plan.entries * 1_600 // size)
        found = results.memory[size] = memory_of(size, count, plan.python)
        say(f"an entry of {size} bytes takes {found[0]:.0f}; {count} stop for {found[2]:.0f} ms")
    results.start = [first_answer(folder, plan.python) for _ in range(2 * plan.rounds + 1)]
    say(f"first answer after {min(results.start):.0f} ms")
    if plan.grows:
        results.growth = curves(_sub(folder, "growth"), plan.python, plan.seconds, say)
    return results


def _mixed(folder: Path, plan: Plan, results: Results, say: Say) -> None:
    """At half of what the slower one of the gateway and nginx did."""
    rates = (statistics.median(run.rate for run in results.of("repeated", n)) for n in _MIXED)
    rate = min(rates) / 2
    with RedisServer(folder) as redis, field_of(folder, redis, plan.python, say) as every:
        redis.settle()
        for _ in range(plan.rounds):
            every.round(rate, _MIXED_FOR * plan.seconds, results.mixed, say)


@contextlib.contextmanager
def _everything(folder: Path, plan: Plan, say: Say) -> Iterator[_Field]:
    with contextlib.ExitStack() as stack:
        upstream, _ = stack.enter_context(stands.simulator(folder))
        gone, simulator = stack.enter_context(stands.simulator(_sub(folder, "gone")))
        redis = stack.enter_context(RedisServer(folder))
        gateway = partial(stands.gateway, folder, python=plan.python)

        def one(name: str, settings: dict[str, str]) -> Stand:
            return stack.enter_context(gateway(upstream, redis, name, settings))

        common = {
            "floor": stack.enter_context(stands.floor(folder, plan.python)),
            **{
                name: stack.enter_context(stands.nginx(folder, upstream, name))
                for name in (*NGINX, "nginx-common")
            },
            "varnish": stack.enter_context(stands.varnish(folder, upstream)),
            "gateway": one("gateway", {}),
        }
        if plan.beside is not None:
            common["beside"] = stack.enter_context(
                stands.gateway(
                    *(folder, upstream, redis, "beside"),
                    {"GATEWAY_REDIS__PREFIX": "beside"},
                    python=plan.beside.python,
                    root=plan.beside.root,
                )
            )
        shared = {"GATEWAY_SERVER__REUSE_PORT": "true"}
        pair = one("pair", shared)
        other = stack.enter_context(gateway(upstream, redis, "pair-2", shared, port=pair.port))
        short = {"GATEWAY_FRESHNESS__LIFETIME": "1s", "GATEWAY_FRESHNESS__STALE_IF_ERROR": "24h"}
        refreshed = "GATEWAY_FRESHNESS__STALE_WHILE_REVALIDATE"
        every = _Field(
            folder,
            redis,
            common,
            one("cold-l1", {"GATEWAY_L1__MAX_BYTES": "1KiB", "GATEWAY_REDIS__PREFIX": "cold"}),
            stack.enter_context(gateway(gone, None, "stale", short | {refreshed: "24h"})),
            stack.enter_context(gateway(gone, None, "rescued", short | {refreshed: "1s"})),
            one("clients", stands.clients(folder)),
            replace(pair, beside=other.process),
            _missing(folder, redis, plan, stack),
        )
        _warm(every, simulator, say)
        yield every


def _missing(
    folder: Path, redis: RedisServer, plan: Plan, stack: contextlib.ExitStack
) -> dict[str, dict[str, Stand]]:
    """Servers by name, by `miss` and `miss-redis`, in front of more trainings than will be read."""
    many, _ = stack.enter_context(stands.simulator(_sub(folder, "many"), trainings=_MANY))
    start = partial(stands.gateway, folder, many, python=plan.python)
    peers = {
        name: stack.enter_context(stands.nginx(_sub(folder, f"miss-{name}"), many, name))
        for name in NGINX
    }
    alone = stack.enter_context(start(None, "miss"))
    shared = {"GATEWAY_REDIS__PREFIX": "miss"}
    beside = stack.enter_context(start(redis, "miss-redis", shared))
    return {"miss": {"gateway": alone, **peers}, "miss-redis": {"gateway": beside}}


def _warm(every: _Field, simulator: Process, say: Say) -> None:
    alone = (every.cold_l1, every.stale, every.rescued, every.clients, every.pair)
    for stand in [*every.common.values(), *alone]:
        if stand.name == "floor":
            continue
        say(f"warming {stand.name}")
        every.tags[stand.name] = ask_all(stand, every.folder)
    simulator.kill()
    time.sleep(2.1)  # what those behind it hold is stale from now on, beyond the shorter window
    for stand in (every.stale, every.rescued):
        closed(stand, "repeated", 2)  # until each training's first refresh has failed


def ask_all(stand: Stand, folder: Path) -> Path:
    """Ask twice for every training, once for what is not there; the entity tags, a line each."""
    tags = folder / f"tags-{stand.name}.txt"
    limits = httpx.Limits(max_connections=4)
    # As the callers of the load do: a compressed answer has a tag of its own.
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}
    base = f"http://{HOST}:{stand.port}/training/"
    with httpx.Client(headers=headers, timeout=30, trust_env=False, limits=limits) as client:
        answers = [client.get(f"{base}trn_{n:06d}") for n in range(1, IDS + 1) for _ in range(2)]
        for n in range(1, IDS + 1):
            client.get(f"{base}absent-{n}")
        tag = answers[-1].headers.get("etag", "")
        again = client.get(f"{base}trn_{IDS:06d}", headers={"If-None-Match": tag})
    assert again.status_code == 304, f"{stand.name} does not know its own tag {tag}"
    assert {answer.status_code for answer in answers} == {200}, f"{stand.name} is not warm"
    lines = [answer.headers.get("etag", "") for answer in answers[1::2]]
    tags.write_text("\n".join(lines) + "\n")
    return tags


def _round(every: _Field, plan: Plan, results: Results, say: Say) -> None:
    for kind in KINDS:
        for name in _PEERS:
            stand = every.common.get(name)
            if stand is None:
                continue
            tags = every.tags.get(name) if kind == "conditional" else None
            if name == "floor" and kind != "repeated":
                continue
            # While others were measured, nobody read this one's entries: it confirms them first.
            closed(stand, kind, 1, tags)
            _note(results, kind, closed(stand, kind, plan.seconds, tags), name, say)
    for kind, stand in (
        ("redis", every.cold_l1),
        ("clients", every.clients),
        ("pair", every.pair),
        ("stale", every.stale),
        ("rescued", every.rescued),
    ):
        _note(results, kind, closed(stand, "repeated", plan.seconds), "gateway", say)
    _misses(every, plan, results, say)
    gateway = every.common["gateway"]
    every.redis.pause()
    try:
        _note(results, "hung", closed(gateway, "repeated", plan.seconds), "gateway", say)
    finally:
        every.redis.resume()
    time.sleep(2)  # the gateway sees that it is back
    _open_loop(every, plan, results, say)


def _misses(every: _Field, plan: Plan, results: Results, say: Say) -> None:
    """Each request asks for another training than all before."""
    for callers in (8, 64):
        for kind, servers in every.missing.items():
            for name, stand in servers.items():
                seconds = min(plan.seconds, _MISSES_FOR)
                run = misses(stand, every.next_id[stand], seconds, callers)
                every.next_id[stand] += round(run.rate * seconds * 1.2) + callers
                _note(results, f"{kind}-{callers}", run, name, say)


def _open_loop(every: _Field, plan: Plan, results: Results, say: Say) -> None:
    """At half of what the slowest of the three did in the first round, and at a tenth of it."""
    slowest = min(results.runs["repeated"][name][0].rate for name in COMPARED)
    for share in SHARES:
        rate = results.rates[share] = slowest * share
        for name in COMPARED:
            # All are to have hits: what nobody read for long, the gateway confirms first.
            closed(every.common[name], "repeated", 1)
            p99 = open_loop(every.common[name], rate, plan.seconds, every.folder)
            results.open[share][name].append(p99)
            say(f"open loop at {rate:.0f}/s, {name}: p99 {p99:.2f} ms")


def _note(results: Results, kind: str, run: Run, name: str, say: Say) -> None:
    results.runs[kind][name].append(run)
    say(
        f"{kind}, {name}: {run.cpu:.1f} µs of CPU a request, {run.rate:.0f}/s, p99 {run.p99:.2f} ms"
    )


def _sub(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name
