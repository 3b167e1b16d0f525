"""`gateway demo`: options of what `make run` starts."""

# ruff: noqa: PLC0415 -- heavy imports wait until the command runs

from __future__ import annotations

import click

from gateway.cli.serve import FAILED, complain

_PORT = click.IntRange(0, 65535)


@click.command(
    short_help="Try it: gateway, simulated upstream, load and figures.",
    epilog="""\b
Example:
  gateway demo --port 9000""",
)
@click.option(
    "--port", type=_PORT, metavar="PORT", help="For callers; 8080, or any if that is taken; 0: any."
)
@click.option(
    "--admin-port", type=_PORT, metavar="PORT", help="For operators; 8081, or any if that is taken."
)
@click.option(
    "--simulator-port",
    type=_PORT,
    metavar="PORT",
    help="Of the upstream; 8090, or any if it is taken.",
)
@click.option("--no-load", is_flag=True, help="No requests but yours.")
@click.option("--log", is_flag=True, help="Log each call to the upstream, not only what is wrong.")
def demo(
    port: int | None,
    admin_port: int | None,
    simulator_port: int | None,
    no_load: bool,
    log: bool,
) -> None:
    """Try it at once: the gateway in front of a simulated upstream, with figures that move.

    No Redis, no settings: 1,000 trainings, 100 calls a minute, an edit every 10 s, a few requests
    a second. Prints the addresses to open and a curl command. Ctrl-C ends all of it.
    """
    import asyncio
    import sys

    from gateway.app import StartFault
    from gateway.demo import Plan, UpstreamEnded, run

    plan = Plan(port, admin_port, simulator_port, load=not no_load, log=log)
    try:
        asyncio.run(run(plan, sys.stdout))
    except StartFault as fault:
        complain(fault.faults, FAILED)
    except UpstreamEnded as ended:
        complain([str(ended)], FAILED)
