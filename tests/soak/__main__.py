"""A soak of any length, from the shell."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import click

from tests.soak.soaking import soak


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", default=30.0, show_default=True, help="How long.")
@click.option("--seed", default=1, show_default=True, help="Of the faults and the traffic.")
@click.option("--keep", is_flag=True, help="Keep the processes' logs, and say where they are.")
def main(minutes: float, seed: int, keep: bool) -> None:
    """Three replicas under random faults, each answer judged from outside.

    Exit code 1: something was answered, called or kept that must not be.
    """
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    outcome = asyncio.run(soak(folder, minutes * 60, seed, click.echo))
    click.echo(f"faults: {dict(outcome.faults)}")
    click.echo(f"answers: {dict(outcome.seen)}")
    click.echo(f"most calls in a window: {outcome.windows}")
    click.echo(f"memory grew by {outcome.growth:.1%}, open files {outcome.files[-1]}")
    click.echo("\n".join(outcome.wrong[:50]) or "no violation")
    if keep:
        click.echo(f"logs are in {folder}")
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
