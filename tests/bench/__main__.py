"""`python -m tests.bench`: what `make bench`, `bench-quick` and `bench-record` run."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from tests.bench.cases import Plan, Results, measure
from tests.bench.plots import plot_costs, plot_growth
from tests.bench.record import record
from tests.bench.report import as_json, as_table
from tests.bench.stands import Checkout, missing


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="One short round, about four minutes, no growth.")
@click.option("--runs", default=1, show_default=True, help="Whole runs, one after the other.")
@click.option("--record", "is_record", is_flag=True, help="Write docs/ and the README's table.")
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another checkout of this project with its environment: its hits in the same rounds.",
)
@click.option("--python", default=sys.executable, help="Runs the gateway and the floor.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/bench"),
    show_default=True,
    help="Where each run's figures.json, table.md and plots go.",
)
def main(
    *, quick: bool, runs: int, is_record: bool, beside: Path | None, python: str, out: Path
) -> None:
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
    if beside is not None:
        plan = replace(plan, beside=_checkout(beside, python))
    found = [
        # How things grow is no target: once is enough.
        _run(replace(plan, grows=plan.grows and number == 0), out / f"run-{number + 1}")
        for number in range(runs)
    ]
    if is_record:
        record(found, python)


def _checkout(root: Path, python: str) -> Checkout:
    try:
        return Checkout.at(root.absolute(), python)
    except LookupError as fault:
        raise click.ClickException(f"{fault}: run `make setup` and `.ci/bench-python`") from fault


def _say(line: str) -> None:
    click.echo(line, err=True)


def _run(plan: Plan, out: Path) -> Results:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        results = measure(plan, Path(folder), _say)
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(as_json(results, plan.python) + "\n")
    (out / "table.md").write_text(as_table(results, plan.python) + "\n")
    plot_costs(results, out / "costs.png")
    if results.growth:
        plot_growth(results, out / "growth.png")
    click.echo(as_table(results, plan.python))
    _say(f"written: {out}/figures.json, table.md, costs.png")
    return results


if __name__ == "__main__":
    main()
