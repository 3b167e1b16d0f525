"""`gateway simulate` starts a simulated upstream, `gateway demo` also a gateway in front of it."""

# ruff: noqa: PLC0415 -- heavy imports wait until the command runs

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import click

from gateway.cli.serve import FAILED, complain, run

if TYPE_CHECKING:
    from gateway.simulator import SimulatorConfig


# As the simulator's own enums have them, which would be slow to import for a help text.
REVISIONS = (
    *("question-answer", "early", "current", "metadata", "typeless", "new-channel", "odd-form"),
)
ETAGS = ("none", "strong", "weak")


def _keys(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """`TOKEN=ORGANISATION` or `TOKEN` alone, which is the organisation `demo`."""
    pairs = (each.partition("=") for each in given)
    return {token: organisation or "demo" for token, _, organisation in pairs}


_PORT = click.IntRange(0, 65535)
_COUNT = click.IntRange(0)
_option = partial(click.option, show_default=True)
_seconds = partial(_option, type=click.FloatRange(0), metavar="SECONDS", default=0.0)


@click.command(
    short_help="A stand-in for the training API, alone.",
    epilog="""\b
Example:
  gateway simulate --port 8090 --limit 100 --edit-every 5
  curl -H 'Authorization: Bearer demo-token' http://127.0.0.1:8090/training/trn_000001
  curl http://127.0.0.1:8090/_control/stats

\b
Faults, for all trainings or for `ids`, `count` times or until deleted:
  curl -d '{"mode": "status-500", "count": 3}' http://127.0.0.1:8090/_control/fault
  curl -X DELETE http://127.0.0.1:8090/_control/fault
Those that met `held` are answered once the faults are deleted.

\b
Modes: status-500 status-502 status-503 status-201 status-204 redirect slow
  late held hang dribble reset cut-body cut-chunked cut-no-length html-200
  html-401 html-403 html-503 html-520 malformed-json not-an-object wrong-id
  missing-id missing-updated-at bad-updated-at naive-updated-at wrong-type
  regress too-large too-large-chunked gzip rate-limited unauthorized
  forbidden not-found gone list-refused list-reformatted
  list-field-missing list-rounded list-row-twice hang-up

\b
Also by POST: /_control/edit, insert, delete, editing, revision, limit,
  latency, keys; by GET: /_control/stats, requests.""",
)
@_option("--host", default="127.0.0.1", help="Where to listen.")
@_option("--port", type=_PORT, metavar="PORT", default=8090, help="0: any port.")
@_option(
    "--trainings",
    type=_COUNT,
    metavar="N",
    default=1000,
    help="How many each organisation starts with.",
)
@_option(
    "--key",
    "keys",
    multiple=True,
    metavar="TOKEN[=ORG]",
    default=["demo-token"],
    callback=_keys,
    help="A bearer token and its organisation; may be given several times.",
)
@_option(
    "--limit",
    type=_COUNT,
    metavar="N",
    default=100,
    help="Calls per key and window; 0 never refuses.",
)
@_option(
    "--window",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=60.0,
    help="What the limit is about.",
)
@_seconds("--latency", help="Before each answer.")
@_seconds("--jitter", help="Added to it at most, at random.")
@_seconds("--edit-every", help="Between edits of random trainings; 0 edits none.")
@_option(
    "--revision",
    type=click.Choice(REVISIONS),
    metavar="NAME",
    default="current",
    help=f"Of the API's schema: {', '.join(REVISIONS)}.",
)
@_option(
    "--etag",
    type=click.Choice(ETAGS),
    default="none",
    help="The entity tag that answers carry.",
)
@click.option("--last-modified", is_flag=True, help="Answers carry Last-Modified.")
@click.option("--cache-control", metavar="TEXT", help="The Cache-Control that answers carry.")
@_option(
    "--keep-alive",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=75.0,
    help="How long an idle connection stays open.",
)
@_option("--seed", type=int, default=1, help="The same seed, the same trainings.")
@click.option("--until-stdin-closes", is_flag=True, help="End also when standard input is closed.")
def simulate(
    *,
    host: str,
    port: int,
    trainings: int,
    keys: dict[str, str],
    limit: int,
    window: float,
    latency: float,
    jitter: float,
    edit_every: float,
    revision: str,
    etag: str,
    last_modified: bool,
    cache_control: str | None,
    keep_alive: float,
    seed: int,
    until_stdin_closes: bool,
) -> None:
    """Run a faithful stand-in for the training API, until SIGTERM or SIGINT.

    It limits calls as the real one does, and misbehaves on request: POST /_control/fault with
    {"mode": "hang"}; GET /_control/stats tells what it was asked.
    """
    from gateway.simulator import SimulatorConfig
    from gateway.simulator.answers import ETagForm
    from gateway.simulator.training import Revision

    config = SimulatorConfig(
        host=host,
        port=port,
        trainings=trainings,
        keys=keys,
        limit=limit or None,
        window=window,
        latency=latency,
        jitter=jitter,
        edit_every=edit_every,
        revision=Revision(revision),
        etag=ETagForm(etag),
        last_modified=last_modified,
        cache_control=cache_control,
        keep_alive=keep_alive,
        seed=seed,
    )
    if until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    _serve(config)


def _serve(config: SimulatorConfig) -> None:
    from gateway.simulator import serve

    try:
        run(serve(config, lambda url: click.echo(f"simulator: {url}")))
    except OSError as error:
        complain([f"cannot listen on {config.host}:{config.port}: {error.strerror}"], FAILED)


def _end_with_stdin() -> None:
    """The process that started this one holds the other end, which closes however that ends."""
    while os.read(sys.stdin.fileno(), 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


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
