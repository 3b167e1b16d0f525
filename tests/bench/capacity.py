"""Beyond one machine: `python -m tests.bench.capacity` counts, reckons, writes docs/capacity.md.

What one replica asks of Redis is counted; two and three are counted too, beside what the model
says of them. CPU of a hit is the benchmark's (docs/benchmark.json).
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from tests.bench.replicas import Asked, count
from tests.bench.stands import IDS
from tests.support.servers import ROOT

# What is assumed, and may be changed: a core is used to six tenths, so that a replica can be lost;
# the API's limit and the freshness are the defaults; one training in a thousand is edited an hour.
_BUSY = 0.6
_LIMIT = 100 / 60
_LIFETIME = 30.0
_EDITS = 1 / 1_000 / 3_600
_RATES = (10_000, 1_000_000, 100_000_000)
_READ = 1_000
# Of a hit, until a benchmark was recorded.
_USUAL = 13e-6
_COUNTED = ROOT / "docs" / "capacity.json"
_BENCHMARK = ROOT / "docs" / "benchmark.json"


@dataclass(frozen=True, slots=True)
class Model:
    """Measured: seconds of CPU a hit; of Redis, by a replica that is idle, and for each training
    that a replica reads all the time."""

    hit: float
    idle: Asked
    each: Asked

    def replicas(self, rate: float) -> int:
        """Processes, a core each, for so many requests a second."""
        return max(2, math.ceil(rate * self.hit / _BUSY))

    def asked(self, replicas: int, read: int) -> Asked:
        """Of Redis, by all of them together; each reads all of these trainings."""
        return Asked(
            replicas * (self.idle.commands + read * self.each.commands),
            replicas * (self.idle.bytes + read * self.each.bytes),
            replicas * (self.idle.core + read * self.each.core),
        )

    def most_replicas(self, read: int) -> int:
        """What one Redis bears."""
        return int(_BUSY / self.asked(1, read).core)


@click.command()
@click.option("--python", default=sys.executable, help="Runs the gateway.")
def main(python: str) -> None:
    """Count, and write what follows."""
    python = str(Path(python).absolute())
    counted = []
    for replicas in (1, 2, 3):
        with tempfile.TemporaryDirectory(prefix="capacity-") as folder:
            idle, busy = count(Path(folder), python, replicas)
        counted.append([asdict(idle), asdict(busy)])
        click.echo(f"{replicas}: {idle}, {busy}", err=True)
    _COUNTED.write_text(json.dumps(counted, indent=1) + "\n")
    write_page()


def write_page() -> None:
    """Anew from what was counted and from what the benchmark recorded last."""
    counted = [(Asked(**idle), Asked(**busy)) for idle, busy in json.loads(_COUNTED.read_text())]
    idle, busy = counted[0]
    beyond = busy.less(idle)
    each = Asked(beyond.commands / IDS, beyond.bytes / IDS, beyond.core / IDS)
    page = "\n".join(_page(Model(_hit(), idle, each), counted))
    (ROOT / "docs" / "capacity.md").write_text(page + "\n")


def _hit() -> float:
    """Seconds of CPU, over all runs of the benchmark that were recorded."""
    if not _BENCHMARK.exists():
        return _USUAL
    runs = json.loads(_BENCHMARK.read_text())
    costs = [cost for run in runs for cost in run["cpu_us"]["repeated"]["gateway"]]
    return float(statistics.median(costs)) / 1e6


def _page(model: Model, counted: list[tuple[Asked, Asked]]) -> Iterator[str]:
    yield "# How far it goes beyond one machine"
    yield ""
    yield (
        "This page says how many replicas a rate of requests needs, what they ask of Redis, and"
        " what limits them first. `make capacity` writes it; the arithmetic is"
        " `tests/bench/capacity.py`."
    )
    yield ""
    yield (
        f"It assumes: a hit costs {model.hit * 1e6:.1f} µs of one core ([the"
        f" benchmark](benchmark.md)); a core is used to {_BUSY:.0%}, so that a replica can be lost;"
        f" each replica reads {_READ:,} trainings all the time; one in a thousand trainings is"
        " edited in an hour."
    )
    yield ""
    yield "| requests/s | replicas (a core each) | Redis commands/s | MB/s | cores of Redis |"
    yield "| --- | --- | --- | --- | --- |"
    for rate in _RATES:
        replicas = model.replicas(rate)
        asked = model.asked(replicas, _READ)
        yield (
            f"| {rate:,} | {replicas:,} | {asked.commands:,.0f} | {asked.bytes / 1e6:,.1f} |"
            f" {asked.core:.2f} |"
        )
    yield from _walls(model)
    yield from _check(model, counted)


def _walls(model: Model) -> Iterator[str]:
    edits = _READ * _EDITS
    most, largest = model.most_replicas(_READ), model.replicas(_RATES[-1])
    yield ""
    yield "## What limits it first"
    yield ""
    yield (
        f"1. **The API's limit**, at any rate of requests. {_LIMIT * 60:.0f} calls a minute keep"
        f" {_LIMIT * _LIFETIME:.0f} trainings fresh for {_LIFETIME:.0f} s each. With single calls,"
        f" each of {_READ:,} trainings is confirmed every {_READ / _LIMIT:.0f} s, and is served"
        " stale meanwhile. More replicas do not help: they share one budget, and a training is"
        " fetched once for all of them. What helps: a longer `freshness.lifetime`, the list of"
        " trainings (many in one call), invalidations by event, a larger limit."
    )
    yield (
        f"2. **One Redis**, at about {most:,} replicas"
        f" ({most * _BUSY / model.hit:,.0f} requests/s). Confirmations grow with replicas times"
        " trainings, not with requests. What helps: a longer `l1.lifetime`, a load balancer that"
        " sends each training to the same replicas so that each reads fewer, a cluster."
    )
    yield (
        f"3. **Messages between replicas**. {edits:.4f} edits a second go to every replica. That is"
        f" {edits * largest:,.0f} messages a second at {largest:,} replicas: far from a limit."
    )
    yield ""
    yield (
        "Requests themselves are no limit. A hit asks nobody, so replicas add up until Redis is"
        " busy with their confirmations."
    )


def _check(model: Model, counted: list[tuple[Asked, Asked]]) -> Iterator[str]:
    yield ""
    yield "## Checked"
    yield ""
    yield (
        f"Redis counted what one, two and three replicas asked of it while each read {IDS:,}"
        " trainings. The model follows from the count of one replica."
    )
    yield ""
    yield "| replicas | commands/s: idle, reading, model | kB/s: reading, model | core: same |"
    yield "| --- | --- | --- | --- |"
    for number, (idle, busy) in enumerate(counted, 1):
        reckoned = model.asked(number, IDS)
        yield (
            f"| {number} | {idle.commands:.1f}, {busy.commands:.1f}, {reckoned.commands:.1f} |"
            f" {busy.bytes / 1e3:.0f}, {reckoned.bytes / 1e3:.0f} |"
            f" {busy.core:.4f}, {reckoned.core:.4f} |"
        )


if __name__ == "__main__":
    main()
