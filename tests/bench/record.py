"""Several runs kept for readers: docs/benchmark.* and the line between the README's marks.

The README and the pictures show the run in the middle, by what a hit costs beside nginx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from tests.bench.capacity import write_page
from tests.bench.cases import KINDS, Results
from tests.bench.plots import plot_costs, plot_growth
from tests.bench.report import as_json, growth_and_machine
from tests.bench.targets import targets
from tests.support.servers import ROOT

_MARKS = re.compile(r"(<!-- benchmark -->).*?(<!-- end of benchmark -->)")


def record(runs: Sequence[Results], python: str) -> None:
    """Write them down, without the checkout that one of them may have had beside it."""
    runs = [_without_beside(each) for each in runs]
    docs, middle = ROOT / "docs", middle_of(runs)
    figures = [json.loads(as_json(each, python)) for each in runs]
    (docs / "benchmark.json").write_text(json.dumps(figures, indent=1) + "\n")
    pictures = [f"![{name}]({name}.png)" for name in ("benchmark", "growth")]
    parts = ["# The benchmark", "", _PREFACE, "", "## In short", "", *_short(middle), ""]
    parts += [*pictures[: 1 + bool(middle.growth)], "", "## All runs", "", *_over(runs), "", _MIXED]
    parts += ["", "## As it grows", "", growth_and_machine(middle, python)]
    (docs / "benchmark.md").write_text("\n".join(parts) + "\n")
    plot_costs(middle, docs / "benchmark.png")
    if middle.growth:
        plot_growth(middle, docs / "growth.png")
    readme = ROOT / "README.md"
    line = in_a_line(middle)
    text = _MARKS.sub(lambda marks: f"{marks[1]}{line}{marks[2]}", readme.read_text())
    readme.write_text(text)
    write_page()


def middle_of(runs: Sequence[Results]) -> Results:
    """The run in the middle, with how things grow from whichever run looked at that."""
    middle = sorted(runs, key=_ratio)[len(runs) // 2]
    return replace(middle, growth=next((each.growth for each in runs if each.growth), {}))


def _without_beside(run: Results) -> Results:
    kinds = {
        kind: {name: seen for name, seen in by_name.items() if name != "beside"}
        for kind, by_name in run.runs.items()
    }
    return replace(run, runs=kinds)


def in_a_line(run: Results) -> str:
    """CPU of a hit beside nginx and Varnish, as the README's table has it."""
    ours, nginx, varnish = (
        _cell(run, "repeated", name) for name in ("gateway", "nginx", "varnish")
    )
    return f"{ours} µs of CPU; nginx {nginx}, Varnish {varnish}"


_PREFACE = """\
This page shows what a request costs, beside nginx, Varnish and a server that parses nothing
("floor"), on one core of the same machine. CPU is user and system time of the server's processes.
The gateway checks access, counts metrics and sends all headers of a response. nginx runs in two
forms, with `sendfile` and `tcp_nopush` off and on; in each line the form that costs less counts.
`tests/bench/configs` has the configurations, and [benchmark.json](benchmark.json) each case of each
run, with times.

`make bench` repeats it in a quarter of an hour, `make bench-quick` in one short round; nginx,
Varnish, wrk and h2load have to be installed. `make bench ARGS="--beside FOLDER"` compares two
checkouts. `make bench-record` makes three runs and writes this page."""

_MIXED = """\
"While everything goes on": hits in an open loop, at half of the top rate and at 12,000 a second at
most, while a list of 20,000 trainings is swept, 50 refreshes and 100 look-ups in Redis a second
run, metrics are scraped, a live page is open and an id is invalidated each second. nginx has as
many refreshes and nothing else. A response's time counts from when its request was due."""


def _over(runs: Sequence[Results]) -> list[str]:
    """A line a target, a column a run."""
    lines = [f"| target |{' |'.join(f' run {n + 1}' for n in range(len(runs)))} |"]
    lines.append("| --- |" + " --- |" * len(runs))
    for each in zip(*map(targets, runs), strict=True):
        cells = (f"{one.found}{'' if one.held else ' **missed**'}" for one in each)
        lines.append(f"| {each[0].line} | {' | '.join(cells)} |")
    return lines


def _short(run: Results) -> list[str]:
    """CPU µs a request, by case and server."""
    names = ("gateway", "nginx", "nginx-common", "varnish", "floor")
    lines = [f"| CPU µs a request | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    for kind, title in KINDS.items():
        cells = (_cell(run, kind, name) for name in names)
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _cell(run: Results, kind: str, name: str) -> str:
    return f"{run.cpu(kind, name):.1f}" if run.of(kind, name) else ""


def _ratio(run: Results) -> float:
    return run.cpu("repeated") / run.cpu("repeated", "nginx")
