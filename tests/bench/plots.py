"""The figures as pictures for the README: bars of what a request costs, and how that grows."""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.bench.cases import KINDS, Results
from tests.bench.growth import AXES

mpl.use("Agg")

from matplotlib import pyplot as plt

_COLOURS = {
    "gateway": "#c0392b",
    "beside": "#e6b0aa",
    "floor": "#95a5a6",
    "nginx": "#27ae60",
    "nginx-sendfile": "#58d68d",
    "nginx-common": "#a9dfbf",
    "varnish": "#2980b9",
}


def plot_costs(results: Results, path: Path) -> None:
    """CPU a request, a bar a server with its least and most, a group a case."""
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    width = 1 / (len(_COLOURS) + 1)
    for offset, (name, colour) in enumerate(_COLOURS.items()):
        for group, kind in enumerate(KINDS):
            cpu = [run.cpu for run in results.runs[kind].get(name, ())]
            if not cpu:
                continue
            middle = statistics.median(cpu)
            spread = [[middle - min(cpu)], [max(cpu) - middle]]
            label = name if group == 0 else None
            at = group + offset * width
            axes.bar(at, middle, width, color=colour, label=label, yerr=spread, capsize=2)
    axes.set_xticks([n + 2 * width for n in range(len(KINDS))], list(KINDS.values()), fontsize=8)
    axes.set_ylabel("CPU µs a request")
    axes.legend(fontsize=8)
    _save(figure, path)


def plot_growth(results: Results, path: Path) -> None:
    """CPU a hit along each axis, from nothing up, so that what is flat looks flat."""
    figure, grid = plt.subplots(1, len(AXES), figsize=(12, 3), layout="constrained", sharey=True)
    for axes, (axis, curve) in zip(grid, results.growth.items(), strict=True):
        axes.plot(list(curve), [run.cpu for run in curve.values()], "o-", color=_COLOURS["gateway"])
        axes.set_xscale("log")
        axes.set_xlabel(AXES[axis][0])
        axes.grid(alpha=0.3)
    grid[0].set_ylim(bottom=0)
    grid[0].set_ylabel("CPU µs a hit")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    plt.close(figure)
