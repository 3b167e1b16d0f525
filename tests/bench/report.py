"""Figures as JSON and as a table, with the machine and the versions that they hold for."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.bench.cases import GATEWAY_ONLY, KINDS, Results
from tests.bench.load import CONNECTIONS, Run
from tests.bench.stands import IDS


def as_json(results: Results) -> str:
    """Everything that was measured."""
    return json.dumps(
        {
            "machine": machine(),
            "cpu_us": {
                kind: {name: [round(run.cpu, 2) for run in runs] for name, runs in by_name.items()}
                for kind, by_name in results.runs.items()
            },
            "rate": {
                kind: {name: [round(run.rate) for run in runs] for name, runs in by_name.items()}
                for kind, by_name in results.runs.items()
            },
            "open_loop_p99_ms": results.open,
            "bytes_an_entry": results.memory,
        },
        indent=2,
    )


def as_table(results: Results) -> str:
    """Markdown: a line a case and server, then the open loop and the memory."""
    return "\n".join([*_closed(results), "", *_open(results), "", *_memory(results)])


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    return {
        "cores": str(os.cpu_count()),
        "processor": _line(["sh", "-c", "sed -n 's/^model name.*: //p' /proc/cpuinfo"]),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": _line(["nginx", "-v"]).removeprefix("nginx version: "),
        "varnish": _line(["varnishd", "-V"]),
        "load": f"wrk -t1 -c{CONNECTIONS}, {IDS} ids, server and caller on a core each",
    }


def _closed(results: Results) -> Iterator[str]:
    yield "| case | server | CPU µs a request: median (min–max) | requests/s | p50 ms | p99 ms |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for kind, title in {**KINDS, **GATEWAY_ONLY}.items():
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
    if not results.open:
        return
    yield "| open loop | server | p99 ms, median |"
    yield "| --- | --- | --- |"
    for rate, by_name in results.open.items():
        for name, values in by_name.items():
            yield f"| {rate} requests/s | {name} | {statistics.median(values):.2f} |"


def _memory(results: Results) -> Iterator[str]:
    yield "| body | bytes an entry, of the process | by the account of L1 |"
    yield "| --- | --- | --- |"
    for size, (seen, accounted) in results.memory.items():
        yield f"| {size} | {seen:.0f} | {accounted:.0f} |"


def _line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def plot(results: Results, path: Path) -> None:
    """CPU a request, a bar a server, a group a case, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = list(results.runs["repeated"])
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    kinds = {kind: title for kind, title in KINDS.items() if results.runs[kind]}
    for offset, name in enumerate(names):
        at = [
            n + offset / (len(names) + 1)
            for n, kind in enumerate(kinds)
            if name in results.runs[kind]
        ]
        heights = [
            statistics.median(run.cpu for run in results.runs[kind][name])
            for kind in kinds
            if name in results.runs[kind]
        ]
        axes.bar(at, heights, 1 / (len(names) + 1), label=name)
    axes.set_xticks([n + 0.35 for n in range(len(kinds))], list(kinds.values()), fontsize=8)
    axes.set_ylabel("CPU µs a request")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
