"""A soak of any length, from the shell."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from itertools import islice
from pathlib import Path

import click

from tests.soak.faults import FAULTS, plan
from tests.soak.soaking import LANES, soak

_FAULTS = (f"  {name:<24}{(each.__doc__ or '').splitlines()[0]}" for name, each in FAULTS.items())
_EPILOG = f"""\b
Faults, {LANES} at once, each all the time anew:
{chr(10).join(_FAULTS)}

\b
Examples:
  python -m tests.soak --minutes 30 --seed 7
  python -m tests.soak --minutes 2 --fault redis-loses-keys --fault replica-is-cut-off
  python -m tests.soak --plan 20 --seed 7
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.option("--minutes", default=30.0, show_default=True, help="How long.")
@click.option("--seed", default=1, show_default=True, help="Of the faults and the traffic.")
@click.option(
    "--fault",
    "names",
    type=click.Choice(sorted(FAULTS)),
    metavar="NAME",
    multiple=True,
    help="Only this one; several times: only these.",
)
@click.option("--no-budget", is_flag=True, help="Calls beyond the limit are no violation.")
@click.option("--keep", is_flag=True, help="Keep the processes' logs, and say where they are.")
@click.option("--plan", "count", metavar="N", type=int, help="List the first N faults, run none.")
def main(
    minutes: float,
    seed: int,
    *,
    names: tuple[str, ...],
    no_budget: bool,
    keep: bool,
    count: int | None,
) -> None:
    """Three replicas under random faults, each answer judged from outside.

    A clients file of two tenants, a Redis and the simulator as processes; callers that read on
    any connection and callers that keep one; trainings that are edited, orders that invalidate
    them. An observer knows when each version was published and which orders were confirmed.

    A violation is: an older version after an order or after a newer one, an untrue age, another
    tenant's training, no answer from a replica that is up or drains, an answer after more than
    ten seconds, more calls in a window than allowed, a traceback in a log. Progress is told twice
    a minute. Exit code 1: there was one.
    """
    chosen = names or tuple(FAULTS)
    if count is not None:
        for name, rest, _ in islice(plan(seed, chosen), count):
            click.echo(f"{name} after {rest:.2f} s")
        return
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    outcome = asyncio.run(
        soak(folder, minutes * 60, seed, click.echo, chosen, judges_budget=not no_budget)
    )
    click.echo("\n".join(outcome.wrong[:50]))
    click.echo(outcome)
    if keep:
        click.echo(f"logs are in {folder}")
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
