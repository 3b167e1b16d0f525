"""`make torture`: the checks on the targets, as a table; or one target held still, to look at."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from tests.torture.by_hand import prelude
from tests.torture.check import Check
from tests.torture.checks import CHECKS
from tests.torture.running import Verdict, run
from tests.torture.stand import stand
from tests.torture.table import failures, table
from tests.torture.target import Target, targets

OUT = Path("build/torture")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--target", "names", multiple=True, metavar="NAME", help="Only this; all otherwise.")
@click.option("--check", "parts", multiple=True, metavar="TEXT", help="Only checks named like it.")
@click.option("--hold", is_flag=True, help="Start the one target and wait, until Ctrl-C.")
@click.option("--list", "lists", is_flag=True, help="List targets and checks.")
def main(names: tuple[str, ...], parts: tuple[str, ...], hold: bool, lists: bool) -> None:
    """Put hard cases to caching proxies in front of the training API.

    A target is described in tests/torture/targets/*.toml: copy one, change its command, and it
    takes part. What a machine lacks is said and left out. The table goes to build/torture/.
    Exit code 1: a check failed for the target `gateway`.
    """
    chosen = [_target(name) for name in names] or list(targets().values())
    checks = [check for check in CHECKS if not parts or any(part in check.name for part in parts)]
    if lists:
        click.echo("\n".join(f"{each.name}: {each.what}" for each in chosen))
        click.echo("\n".join(f"{each.name}: {each.why}" for each in checks))
    elif hold:
        asyncio.run(_hold(chosen[0], checks[0]))
    else:
        sys.exit(_torture(chosen, checks))


def _target(name: str) -> Target:
    known = targets()
    if name not in known:
        raise click.BadParameter(f"no target {name!r}; there are: {', '.join(known)}")
    return known[name]


def _torture(chosen: list[Target], checks: list[Check]) -> int:
    verdicts: list[Verdict] = []
    for target in chosen:
        if target.missing:
            click.echo(f"{target.name} is left out: {', '.join(target.missing)} is not installed")
            continue
        verdicts += asyncio.run(run(checks, target, tell=_tell))
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "table.md").write_text(table(verdicts))
    (OUT / "findings.json").write_text(json.dumps([_plain(each) for each in verdicts], indent=2))
    click.echo(f"\n{failures(verdicts)}\n\n{table(verdicts)}\nWritten to {OUT}/table.md")
    ours = [each for each in verdicts if each.target.name == "gateway"]
    return any(finding.holds is False for each in ours for finding in each.findings)


def _tell(verdict: Verdict) -> None:
    for finding in verdict.findings:
        mark = {True: "pass", False: "FAIL", None: "    "}[finding.holds]
        click.echo(f"{verdict.target.name}: {mark} {finding.question}: {finding.figure}")


def _plain(verdict: Verdict) -> dict[str, object]:
    return {
        "target": verdict.target.name,
        "check": verdict.check.name,
        "findings": [
            {"question": each.question, "holds": each.holds, "figure": each.figure}
            for each in verdict.findings
        ],
    }


async def _hold(target: Target, check: Check) -> None:
    async with stand(target, check.setting) as ours:
        click.echo(f"# {target.name}, as for {check.name}: {check.why}")
        click.echo(f"# Paste into another bash; Ctrl-C here ends it.\n{prelude(ours)}\n")
        click.echo("\n".join(check.by_hand))
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
