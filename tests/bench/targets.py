"""What must be reached, line by line, and whether it was: on medians of one benchmark's rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.cases import MISSES, Results
from tests.bench.mixed import QUIET
from tests.bench.stands import NGINX


@dataclass(frozen=True, slots=True)
class Target:
    """A line, what was found, and whether that holds it."""

    line: str
    found: str
    held: bool


def targets(results: Results) -> list[Target]:
    """All that this benchmark can judge."""
    return [
        *_hits(results),
        *_others(results),
        *_misses(results),
        *_mixed(results),
        *_process(results),
    ]


def _hits(results: Results) -> Iterator[Target]:
    for kind, bounds in (
        ("repeated", {"nginx": 0.85, "varnish": 0.5, "floor": 1.35}),
        ("changing", {"nginx": 0.95, "varnish": 0.55}),
    ):
        for peer, bound in bounds.items():
            ours, theirs = results.cpu(kind), results.cpu(kind, peer)
            ratio = ours / theirs
            found = f"{ratio:.2f} ({ours:.1f} against {theirs:.1f} µs)"
            yield Target(f"hit, headers {kind}: ≤ {bound} × {peer}", found, ratio <= bound)
    if "beside" in results.runs["repeated"]:
        yield from _beside(results)
    ours, theirs = results.tail(0.5, "gateway"), results.tail(0.5, "nginx")
    line = "p99 at half of the slowest one's rate: ≤ nginx's"
    yield Target(line, f"{ours:.2f} against {theirs:.2f} ms", ours <= theirs)


def _beside(results: Results) -> Iterator[Target]:
    """A twentieth is what two runs of the same code differ by."""
    for kind in ("repeated", "changing", "conditional", "absent"):
        ours, theirs = results.cpu(kind), results.cpu(kind, "beside")
        found = f"{ours / theirs:.2f} ({ours:.1f} against {theirs:.1f} µs)"
        line = f"hit, {kind}: no dearer than in the checkout beside"
        yield Target(line, found, ours <= 1.05 * theirs)


def _others(results: Results) -> Iterator[Target]:
    hit = results.cpu("repeated")
    for kind, line, most in (
        ("conditional", "304: no dearer than a 200", hit),
        ("stale", "stale, upstream gone: ≤ 1.5 × a fresh one", hit * 1.5),
        ("rescued", "rescued, past the window of refreshes: ≤ 1.5 × a fresh one", hit * 1.5),
        ("hung", "hit while Redis hangs: no change beyond a tenth", hit * 1.1),
        ("pair", "two processes on one port: within a tenth", hit * 1.1),
    ):
        found = results.cpu(kind)
        yield Target(line, f"{found:.1f} against {hit:.1f} µs", found <= most)


def _misses(results: Results) -> Iterator[Target]:
    """In milliseconds of the gateway's CPU."""
    for kind, title in MISSES.items():
        bound = 0.9 if kind.startswith("miss-redis") else 0.6
        found = results.cpu(kind) / 1_000
        yield Target(f"{title}: ≤ {bound} ms", f"{found:.2f} ms", found <= bound)


def _mixed(results: Results) -> Iterator[Target]:
    """Hits while everything else goes on; medians of the rounds, and the longest turn of any."""
    mixed = results.mixed
    if not mixed.tails:
        return
    quiet, busy = mixed.median(QUIET, "p99"), mixed.median("gateway", "p99")
    nginx = min(mixed.median(name, "p99") for name in NGINX if name in mixed.tails)
    found = f"{busy:.2f} against {quiet:.2f} ms (nginx with its refreshes: {nginx:.2f})"
    line = "hits while everything goes on, p99: ≤ 1.5 × the quiet one"
    yield Target(line, found, busy <= 1.5 * quiet)
    rare = mixed.median("gateway", "p999")
    yield Target("the same, p99.9: ≤ 10 ms", f"{rare:.2f} ms", rare <= 10.0)
    turn = max(each.longest_turn for each in mixed.beside)
    line = "the same, the longest time that the event loop was late: ≤ 10 ms"
    yield Target(line, f"{turn:.1f} ms", turn <= 10.0)


def _process(results: Results) -> Iterator[Target]:
    for size, (seen, accounted, _) in results.memory.items():
        line = f"an entry of {size} bytes: ≤ 1.5 × its body + 1 KiB, as accounted to a tenth"
        held = seen <= 1.5 * size + 1024 and abs(seen / accounted - 1) <= 0.1
        yield Target(line, f"{seen:.0f} bytes, {accounted:.0f} accounted", held)
    start = statistics.median(results.start)
    yield Target("first answer within 1 s", f"{start:.0f} ms", start <= 1_000)
