"""`python -m tests.bench`: what `make bench`, `bench-quick` and `bench-record` run."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from tests.bench.cases import Plan, Results, measure
from tests.bench.plots import plot_costs, plot_growth
from tests.bench.record import record
from tests.bench.report import as_json, as_table
from tests.bench.stands import missing


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="One short round, under two minutes, no growth.")
@click.option("--runs", default=1, show_default=True, help="Whole runs, one after the other.")
@click.option("--record", "is_record", is_flag=True, help="Write docs/ and the README's table.")
@click.option("--python", default=sys.executable, help="Runs the gateway and the floor.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/bench"),
    show_default=True,
    help="Where each run's figures.json, table.md and plots go.",
)
def main(*, quick: bool, runs: int, is_record: bool, python: str, out: Path) -> None:
    """Measure the gateway beside nginx, Varnish and the floor, on this machine."""
    absent = missing()
    if absent:
        raise click.ClickException(
            f"not installed: {', '.join(absent)}. As root: apt-get install nginx varnish wrk"
            " nghttp2-client util-linux"
        )
    python = str(Path(python).absolute())
    plan = Plan(seconds=3, rounds=3, entries=50_000, grows=True, python=python)
    if quick:
        plan = Plan(seconds=1, rounds=1, entries=10_000, grows=False, python=python)
    found = [
        _run(plan, out / f"run-{number + 1}", lambda line: click.echo(line, err=True))
        for number in range(runs)
    ]
    if is_record:
        record(found, python)


def _run(plan: Plan, out: Path, say: Callable[[str], None]) -> Results:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        results = measure(plan, Path(folder), say)
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(as_json(results, plan.python) + "\n")
    (out / "table.md").write_text(as_table(results, plan.python) + "\n")
    plot_costs(results, out / "costs.png")
    if results.growth:
        plot_growth(results, out / "growth.png")
    click.echo(as_table(results, plan.python))
    say(f"written: {out}/figures.json, table.md, costs.png")
    return results


if __name__ == "__main__":
    main()
