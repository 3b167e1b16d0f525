"""The commands `gateway simulate` (a simulated upstream) and `gateway demo` (also a gateway)."""

# ruff: noqa: PLC0415 -- heavy imports wait until the command runs

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import click

from gateway.cli.serve import (
    FAILED,
    WRONG_SETTINGS,
    complain,
    open_standard_descriptors,
    run,
)

if TYPE_CHECKING:
    from typing import Any

    from gateway.simulator import SimulatorConfig


# The words of the simulator's enums. Importing the enums would make the help text slow.
REVISIONS = (
    *("question-answer", "early", "current", "metadata", "typeless", "new-channel", "odd-form"),
)
ETAGS = ("none", "strong", "weak")


def _keys(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    pairs = (each.partition("=") for each in given)
    return {token: organisation or "demo" for token, _, organisation in pairs}


_PORT = click.IntRange(0, 65535)
_COUNT = click.IntRange(0)
_option = partial(click.option, show_default=True)
_seconds = partial(_option, type=click.FloatRange(0), metavar="SECONDS", default=0.0)


@click.command(
    short_help="Run a simulated training API alone.",
    epilog="""\b
Example:
  gateway simulate --port 8090 --limit 100 --edit-every 5
  curl -H 'Authorization: Bearer demo-token' http://127.0.0.1:8090/training/trn_000001
  curl http://127.0.0.1:8090/_control/stats

\b
A fault is for all trainings, or for those in `ids`. It lasts for `count` requests, or until the
faults are deleted:
  curl -d '{"mode": "status-500", "count": 3}' http://127.0.0.1:8090/_control/fault
  curl -X DELETE http://127.0.0.1:8090/_control/fault
Requests that met the fault `held` are answered when the faults are deleted.

\b
Modes of a fault: status-500 status-502 status-503 status-201 status-204 redirect slow
  late held hang dribble reset cut-body cut-chunked cut-no-length html-200
  html-401 html-403 html-503 html-520 proxy-401 proxy-403 proxy-404
  malformed-json not-an-object wrong-id many-members
  missing-id missing-updated-at bad-updated-at naive-updated-at wrong-type
  regress too-large too-large-chunked gzip old rate-limited unauthorized
  forbidden not-found gone list-refused list-reformatted
  list-field-missing list-rounded list-row-twice hang-up

\b
More paths with POST: /_control/edit, insert, delete, editing, revision, limit,
  latency, keys; with GET: /_control/stats, requests.""",
)
@_option("--host", default="127.0.0.1", help="Where to listen.")
@_option("--port", type=_PORT, metavar="PORT", default=8090, help="0: any free port.")
@_option(
    "--trainings",
    type=_COUNT,
    metavar="N",
    default=1000,
    help="Number of trainings of each organisation at the start.",
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
    help="Calls that each key may make in a window; 0: no limit.",
)
@_option(
    "--window",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=60.0,
    help="Length of the window of the limit.",
)
@_seconds("--latency", help="Time before each answer.")
@_seconds("--jitter", help="A random time that is added to the latency, at most this long.")
@_seconds("--edit-every", help="Time between edits of random trainings; 0: no edits.")
@_option(
    "--revision",
    type=click.Choice(REVISIONS),
    metavar="NAME",
    default="current",
    help=f"Revision of the API's schema: {', '.join(REVISIONS)}.",
)
@_option(
    "--etag",
    type=click.Choice(ETAGS),
    default="none",
    help="The kind of ETag in the answers.",
)
@click.option("--last-modified", is_flag=True, help="Send Last-Modified in the answers.")
@click.option("--cache-control", metavar="TEXT", help="The Cache-Control in the answers.")
@_option(
    "--keep-alive",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    default=75.0,
    help="How long an idle connection stays open.",
)
@_option("--seed", type=int, default=1, help="The same seed gives the same trainings.")
@click.option("--until-stdin-closes", is_flag=True, help="End also when standard input is closed.")
def simulate(*, until_stdin_closes: bool, **given: Any) -> None:
    """Run a simulated training API until SIGTERM or SIGINT.

    It limits calls as the real API does. To make it fail, send a fault such as {"mode": "hang"}
    with POST /_control/fault. GET /_control/stats says how many calls came.
    """
    from gateway.simulator import SimulatorConfig
    from gateway.simulator.answers import ETagForm
    from gateway.simulator.training import Revision

    words = {"revision": Revision(given["revision"]), "etag": ETagForm(given["etag"])}
    config = SimulatorConfig(**given | words | {"limit": given["limit"] or None})
    if until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    _serve(config)


def _serve(config: SimulatorConfig) -> None:
    from gateway.simulator import serve

    try:
        run(serve(config, lambda url: click.echo(f"simulator: {url}")))
    except BrokenPipeError:  # nobody reads the output: click ends the command without a message
        raise
    except OSError as error:
        complain([f"cannot listen on {config.host}:{config.port}: {error.strerror}"], FAILED)


def _end_with_stdin() -> None:
    """End this process when standard input is closed. Standard input is closed when the parent
    process ends for any reason."""
    while os.read(sys.stdin.fileno(), 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


@click.command(
    short_help="Run a gateway with a simulated API, to try it.",
    epilog="""\b
Example:
  gateway demo --port 9000""",
)
@click.option(
    "--port",
    type=_PORT,
    metavar="PORT",
    help="Port for callers. Default: 8080, or a free port if 8080 is taken. 0: any free port.",
)
@click.option(
    "--admin-port",
    type=_PORT,
    metavar="PORT",
    help="Port for operators. Default: 8081, or a free port if 8081 is taken.",
)
@click.option(
    "--simulator-port",
    type=_PORT,
    metavar="PORT",
    help="Port of the simulated API. Default: 8090, or a free port if 8090 is taken.",
)
@click.option("--no-load", is_flag=True, help="Do not send requests to the gateway.")
@click.option("--log", is_flag=True, help="Log each call to the API, not only warnings.")
def demo(
    port: int | None,
    admin_port: int | None,
    simulator_port: int | None,
    no_load: bool,
    log: bool,
) -> None:
    """Run a gateway in front of a simulated API, with some requests and edits.

    It needs no Redis and no settings. The API has 1,000 trainings and a limit of 100 calls a
    minute. There is an edit every 10 s, and a few requests a second. The command prints the
    addresses to open, and a curl command. Ctrl-C ends everything.
    """
    import asyncio

    from gateway.app import StartFault
    from gateway.demo import Plan, UpstreamEnded, run
    from gateway.settings import SettingsFault

    plan = Plan(port, admin_port, simulator_port, load=not no_load, log=log)
    open_standard_descriptors()
    try:
        # Python has no `sys.stdout` if the descriptor was closed at the start.
        with open(os.devnull, "w") as nowhere:
            asyncio.run(run(plan, sys.stdout or nowhere))
    except StartFault as fault:
        complain(fault.faults, FAILED)
    except SettingsFault as fault:
        complain(map(str, fault.faults), WRONG_SETTINGS)
    except UpstreamEnded as ended:
        complain([str(ended)], FAILED)
