"""Beyond one machine: `python -m tests.bench.capacity` counts, reckons, writes docs/capacity.md.

What one replica asks of Redis is counted; two and three are counted too, beside what the model
says of them. CPU of a hit is the figure that README has from the benchmark.
"""

from __future__ import annotations

import json
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from tests.bench.replicas import Asked, count
from tests.bench.stands import IDS
from tests.bench.stored import Stored, measure
from tests.support.servers import ROOT

# What is assumed, and may be changed: a core is used to six tenths, so that a replica can be lost;
# the API's limit and the freshness are the defaults.
_BUSY = 0.6
_LIMIT = 100 / 60
_LIFETIME = 30.0
_RATES = (1_000, 100_000, 1_000_000)
_READ = 1_000
_COUNTED = ROOT / "docs" / "capacity.json"
_HIT = re.compile(r"<!-- benchmark -->([0-9.]+) µs")
# The sweep's part of the limit, and the trainings of one page of the list.
_SHARE = 0.5
_PAGE = 100
# The example of the worksheet: trainings of each tenant, requests/s, tenants.
_EXAMPLE = (20_000, 3_000, 5)


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
    with tempfile.TemporaryDirectory(prefix="capacity-") as folder:
        stored = measure(Path(folder), python)
    click.echo(f"{stored}", err=True)
    found = {"asked": counted, "stored": asdict(stored)}
    _COUNTED.write_text(json.dumps(found, indent=1) + "\n")
    write_page()


def write_page() -> None:
    """Anew from what was counted and from what the benchmark recorded last."""
    found = json.loads(_COUNTED.read_text())
    counted = [(Asked(**idle), Asked(**busy)) for idle, busy in found["asked"]]
    idle, busy = counted[0]
    beyond = busy.less(idle)
    each = Asked(beyond.commands / IDS, beyond.bytes / IDS, beyond.core / IDS)
    page = "\n".join(_page(Model(_hit(), idle, each), counted, Stored(**found["stored"])))
    (ROOT / "docs" / "capacity.md").write_text(page + "\n")


def _hit() -> float:
    """Seconds of CPU. README has the only figure for it, which `make bench-record` writes."""
    (microseconds,) = _HIT.findall((ROOT / "README.md").read_text())
    return float(microseconds) / 1e6


def _page(model: Model, counted: list[tuple[Asked, Asked]], stored: Stored) -> Iterator[str]:
    yield "# How much you need"
    yield ""
    yield (
        "This page says how much memory, how many replicas and how much time your trainings need,"
        " and what limits them first. `make capacity` writes it."
    )
    yield from _worksheet(model, stored)
    yield ""
    yield "## How many replicas"
    yield ""
    yield (
        f"A hit costs {model.hit * 1e6:.1f} µs of one core ([the benchmark](benchmark.md)). A core"
        f" is used to {_BUSY:.0%}, so that a replica can be lost. Each replica reads {_READ:,}"
        " trainings all the time."
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
    yield from _check(model, counted)
    yield from _walls(model)


def _worksheet(model: Model, stored: Stored) -> Iterator[str]:
    trainings, rate, tenants = _EXAMPLE
    entries, body = trainings * tenants, 2 * 1024
    l1, redis = body + stored.l1_beside_body, body + stored.redis_beside_body
    minutes = trainings / _PAGE / (_LIMIT * 60 * _SHARE)
    yield ""
    yield "## A worksheet"
    yield ""
    yield (
        f"Put in your own numbers. The example has {tenants} tenants with {trainings:,} trainings"
        f" of 2 KiB each, and {rate:,} requests/s. In `passthrough`, a token counts as a tenant."
    )
    yield ""
    yield "| you need | arithmetic | the example |"
    yield "| --- | --- | --- |"
    yield (
        "| memory of Redis | tenants × trainings × (body +"
        f" {stored.redis_beside_body:,.0f} bytes) | {tenants} × {trainings:,} × {redis:,.0f} ="
        f" {entries * redis / 1e6:,.0f} MB |"
    )
    yield (
        "| `l1.max_bytes`, if each replica is to hold all | tenants × trainings × (body +"
        f" {stored.l1_beside_body:,.0f} bytes) | {tenants} × {trainings:,} × {l1:,.0f} ="
        f" {entries * l1 / 1e6:,.0f} MB |"
    )
    yield (f"| memory of a replica | 70 MB + `l1.max_bytes` | {70 + entries * l1 / 1e6:,.0f} MB |")
    yield (
        f"| replicas, a core each | requests/s × {model.hit * 1e6:.1f} µs / {_BUSY}, at least 2 |"
        f" {rate:,} × {model.hit * 1e6:.1f} µs / {_BUSY} = {rate * model.hit / _BUSY:.2f}, so"
        f" {model.replicas(rate)} |"
    )
    yield (
        "| time of a sweep, in minutes | trainings of a tenant / 100 / (limit of the tenant ×"
        f" `sweep.share`) | {trainings:,} / 100 / ({_LIMIT * 60:.0f} × {_SHARE}) = {minutes:g} |"
    )
    yield ""
    yield (
        "A smaller `l1.max_bytes` is enough if callers read a part of the trainings: the rest stays"
        " in Redis, where a hit costs more. [Freshness](freshness.md#the-sweep) says how long an"
        " edit may remain unseen. Memory was measured with"
        f" {IDS:,} trainings of {stored.body:,.0f} bytes: {stored.l1:,.0f} bytes each in L1, by the"
        f" gateway's own account, and {stored.redis:,.0f} in Redis, by `used_memory`."
    )


def _walls(model: Model) -> Iterator[str]:
    most = model.most_replicas(_READ)
    yield ""
    yield "## What limits it first"
    yield ""
    yield (
        f"1. **The API's limit**, at any rate of requests. {_LIMIT * 60:.0f} calls a minute keep"
        f" {_LIMIT * _LIFETIME:.0f} trainings fresh for {_LIFETIME:.0f} s each by single calls."
        " More replicas do not help, because they share one budget. What helps: the sweep (a"
        " hundred trainings with one call), a longer `freshness.lifetime`, invalidations by event,"
        " a larger limit."
    )
    yield (
        f"2. **One Redis**, at about {most:,} replicas"
        f" ({most * _BUSY / model.hit:,.0f} requests/s). Confirmations grow with replicas times"
        " trainings, not with requests. What helps: a longer `l1.lifetime`, a load balancer that"
        " sends each training to the same replicas, a cluster."
    )


def _check(model: Model, counted: list[tuple[Asked, Asked]]) -> Iterator[str]:
    numbers = range(1, len(counted) + 1)
    seen = ", ".join(f"{busy.commands:.0f}" for _, busy in counted)
    reckoned = ", ".join(f"{model.asked(each, IDS).commands:.0f}" for each in numbers)
    yield ""
    yield (
        f"Redis counted {seen} commands/s of one, two and three replicas that each read {IDS:,}"
        f" trainings. The model above follows from the count of one: {reckoned}."
    )


if __name__ == "__main__":
    main()
