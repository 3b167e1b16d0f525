"""`python -m tests.bench`: what `make bench` and `make bench-quick` run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from tests.bench.cases import Plan, measure
from tests.bench.report import as_json, as_table, plot
from tests.bench.stands import missing

_FULL = Plan(seconds=4, rounds=3, entries=50_000, open_loop=True)
_QUICK = Plan(seconds=2, rounds=1, entries=10_000, open_loop=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="One short round, under two minutes.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/bench"),
    show_default=True,
    help="Where figures.json, table.md and plot.png go.",
)
def main(*, quick: bool, out: Path) -> None:
    """Measure the gateway beside nginx, Varnish and the floor, on this machine."""
    absent = missing()
    if absent:
        raise click.ClickException(
            f"not installed: {', '.join(absent)}. As root: apt-get install nginx varnish wrk"
            " nghttp2-client util-linux"
        )
    plan = _QUICK if quick else _FULL
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        results = measure(plan, Path(folder), lambda line: click.echo(line, err=True))
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(as_json(results) + "\n")
    (out / "table.md").write_text(as_table(results) + "\n")
    plot(results, out / "plot.png")
    click.echo(as_table(results))
    click.echo(f"\nwritten: {out}/figures.json, table.md, plot.png", err=True)


if __name__ == "__main__":
    main()
