"""Figures as JSON and as a table, with the machine and the versions that they hold for."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict

from tests.bench.cases import GATEWAY_ONLY, KINDS, MISSES, Results
from tests.bench.growth import AXES
from tests.bench.load import CONNECTIONS, Run
from tests.bench.stands import IDS
from tests.bench.targets import targets


def as_json(results: Results, python: str) -> str:
    """Everything that was measured."""
    return json.dumps(
        {
            "machine": machine(python),
            "targets": [asdict(each) for each in targets(results)],
            "cpu_us": _each(results, lambda run: round(run.cpu, 2)),
            "rate": _each(results, lambda run: round(run.rate)),
            "p50_ms": _each(results, lambda run: run.p50),
            "p99_ms": _each(results, lambda run: run.p99),
            "open_loop_rate": results.rates,
            "open_loop_p99_ms": results.open,
            "mixed": asdict(results.mixed),
            "bytes_an_entry": results.memory,
            "first_answer_ms": [round(each) for each in results.start],
            "growth_cpu_us": {
                axis: {value: round(run.cpu, 2) for value, run in curve.items()}
                for axis, curve in results.growth.items()
            },
        },
        indent=2,
    )


def _each(results: Results, what: Callable[[Run], float]) -> dict[str, dict[str, list[float]]]:
    return {
        kind: {name: [what(run) for run in runs] for name, runs in by_name.items()}
        for kind, by_name in results.runs.items()
    }


def as_table(results: Results, python: str) -> str:
    """Markdown: the targets, a line a case and server, the open loop, memory, growth, machine."""
    parts = [_targets(results), _closed(results), _open(results), _mixed(results)]
    parts += [_memory(results), _growth(results), _machine(python)]
    return "\n\n".join(filter(None, ("\n".join(part) for part in parts)))


def growth_and_machine(results: Results, python: str) -> str:
    """The end of that table, for a page that has the targets already."""
    parts = [_growth(results), _machine(python)]
    return "\n\n".join(filter(None, ("\n".join(part) for part in parts)))


def _targets(results: Results) -> Iterator[str]:
    yield "| target | measured | |"
    yield "| --- | --- | --- |"
    for each in targets(results):
        yield f"| {each.line} | {each.found} | {'held' if each.held else '**missed**'} |"


def machine(python: str) -> dict[str, str]:
    """What the figures were taken on."""
    return {
        "cores": str(os.cpu_count()),
        "processor": _line(["sh", "-c", "sed -n 's/^model name.*: //p' /proc/cpuinfo"]),
        "kernel": platform.release(),
        "python": _line([python, "-V"]).removeprefix("Python "),
        "python_build": _line([python, "-c", _BUILD]),
        "python_call_ns": _line([python, "-c", _CALLS]),
        "nginx": _line(["nginx", "-v"]).removeprefix("nginx version: "),
        "varnish": _line(["varnishd", "-V"]),
        "load": f"wrk -t1 -c{CONNECTIONS}, {IDS} ids, server and caller on a core each",
    }


# What a call of a Python function costs: builds of the same version differ by a factor of two.
_CALLS = (
    "import timeit; call = lambda value: value; "
    "print(round(min(timeit.repeat('call(1)', globals={'call': call}, number=10**6)) * 1000))"
)

# Version managers often build without the optimisations that distributions use.
_BUILD = (
    "import platform, sys; "
    "whose = 'of the distribution' if sys.base_prefix == '/usr' else 'not of the distribution'; "
    "print(f'{whose}, {platform.python_compiler()}')"
)


def _machine(python: str) -> Iterator[str]:
    told = machine(python)
    yield (
        f"{told['cores']} cores ({told['processor']}), Linux {told['kernel']}, Python"
        f" {told['python']} ({told['python_build']}; {told['python_call_ns']} ns a call),"
        f" {told['nginx']},"
        f" {told['varnish']}; {told['load']}"
    )


def _closed(results: Results) -> Iterator[str]:
    yield "| case | server | CPU µs a request: median (min–max) | requests/s | p50 ms | p99 ms |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for kind, title in {**KINDS, **GATEWAY_ONLY, **MISSES}.items():
        for name, runs in results.runs[kind].items():
            yield f"| {title} | {name} | {_spread(runs)} | {_rest(runs)} |"


def _spread(runs: list[Run]) -> str:
    cpu = [run.cpu for run in runs]
    return f"{statistics.median(cpu):.1f} ({min(cpu):.1f}–{max(cpu):.1f})"


def _rest(runs: list[Run]) -> str:
    rate = statistics.median(run.rate for run in runs)
    p50, p99 = (
        statistics.median(each) for each in zip(*((r.p50, r.p99) for r in runs), strict=True)
    )
    return f"{rate:.0f} | {p50:.2f} | {p99:.2f}"


def _open(results: Results) -> Iterator[str]:
    yield "| open loop: share of the slowest one's rate | requests/s | server | p99 ms, median |"
    yield "| --- | --- | --- | --- |"
    for share, by_name in results.open.items():
        for name, values in by_name.items():
            p99 = statistics.median(values)
            yield f"| {share:.0%} | {results.rates[share]:.0f} | {name} | {p99:.2f} |"


def _mixed(results: Results) -> Iterator[str]:
    mixed = results.mixed
    if not mixed.tails:
        return
    fields = ("p50", "p99", "p999", "longest", "late_p99")
    yield (
        f"| {mixed.rate:.0f} hits/s while everything else goes on: ms | p50 | p99 | p99.9 | longest"
        " | callers late, p99 |"
    )
    yield "| --- |" + " --- |" * len(fields)
    for name in mixed.tails:
        yield f"| {name} | {' | '.join(f'{mixed.median(name, each):.2f}' for each in fields)} |"
    for done in mixed.beside:
        yield (
            f"| beside the gateway's: {done.look_ups} look-ups, {done.from_redis} of them from"
            f" Redis; {done.orders} orders, {len(done.refused)} more refused; {done.scrapes}"
            f" scrapes; {done.lines} lines of the live page |" + " |" * len(fields)
        )


def _memory(results: Results) -> Iterator[str]:
    yield "| body | bytes an entry, of the process | by the account of L1 | a full collection |"
    yield "| --- | --- | --- | --- |"
    for size, (seen, accounted, stopped) in results.memory.items():
        yield f"| {size} | {seen:.0f} | {accounted:.0f} | {stopped:.0f} ms |"


def _growth(results: Results) -> Iterator[str]:
    if not results.growth:
        return
    yield "| as it grows | CPU µs a hit |"
    yield "| --- | --- |"
    for axis, curve in results.growth.items():
        points = ", ".join(f"{value:,}: {run.cpu:.1f}" for value, run in curve.items())
        yield f"| {AXES[axis][0]} | {points} |"


def _line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]
