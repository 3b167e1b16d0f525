"""A run's figures as they might be."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.background import Done
from tests.bench.callers import Tail
from tests.bench.cases import GATEWAY_ONLY, KINDS, MISSES, Results
from tests.bench.load import Run
from tests.bench.mixed import QUIET


def results_of(
    gateway: Sequence[float], nginx: Sequence[float] = (15.0,), varnish: Sequence[float] = (25.0,)
) -> Results:
    """CPU of a request, for each of several rounds; the floor takes 5 µs."""
    results = Results()
    servers = {"gateway": gateway, "nginx": nginx, "varnish": varnish, "floor": (5.0,)}
    for kind in KINDS:
        for name, costs in servers.items():
            results.runs[kind][name] = [Run(cost, 80_000.0, 0.8, 1.5) for cost in costs]
    for kind in GATEWAY_ONLY:
        results.runs[kind]["gateway"] = [Run(cost, 80_000.0, 0.8, 1.5) for cost in gateway]
    for kind in MISSES:
        results.runs[kind]["gateway"] = [Run(600.0, 1_500.0, 5.0, 9.0)]
    for share in (0.1, 0.5):
        results.open[share] = {"gateway": [2.0], "nginx": [2.0], "varnish": [3.0]}
        results.rates[share] = 40_000.0 * share
    results.start = [500.0]
    for name in (QUIET, "gateway", "nginx"):
        results.mixed.tails[name] = [Tail(1_000, 0, 0.5, 2.0, 5.0, 9.0, 0.5)]
    results.mixed.beside = [Done(longest_turn=8.0)]
    return results
