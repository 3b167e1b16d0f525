"""`gateway serve`, `gateway check`, and `gateway health`, which a container's health check runs."""

# ruff: noqa: PLC0415 -- heavy imports wait until a command runs

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from gateway.settings import Settings


T = TypeVar("T")

FAILED = 1
WRONG_SETTINGS = 2

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The TOML file of settings; without it the one that GATEWAY_CONFIG names, if any. "
    "Environment variables such as GATEWAY_SERVER__PORT come over it.",
)


@click.command(
    short_help="Serve until told to end: the real thing.",
    epilog="""\b
Examples:
  gateway serve --config config/gateway.toml
  GATEWAY_UPSTREAM__BASE_URL=https://api.open.cx GATEWAY_SERVER__PORT=9000 gateway serve""",
)
@config_option
def serve(config: Path | None) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, then drain and exit with 0.

    A second signal ends a drain at once.

    Faulty settings are named on standard error, one line a fault, with exit code 2; what cannot
    be started, such as a port in use, with exit code 1.
    """
    from gateway.app import StartFault
    from gateway.app import serve as serve_house
    from gateway.settings import SettingsFault, misspelt

    try:
        run(serve_house(settings_or_exit(config), misspelt=misspelt()))
    except StartFault as fault:
        complain(fault.faults, FAILED)
    except SettingsFault as fault:
        complain(map(str, fault.faults), WRONG_SETTINGS)


@click.command(
    short_help="Check settings and connections.",
    epilog="""\b
Example:
  gateway check --config config/gateway.toml && gateway serve --config config/gateway.toml""",
)
@config_option
def check(config: Path | None) -> None:
    """Check the settings, and whether all that they name can be reached.

    Spends no call of the upstream's limit, and says what is left open by that. Exit code 2 with
    one line a fault for settings, 1 with one line a fault for ports, files, upstream and Redis.
    """
    import io
    import time

    from gateway.adapters.telemetry.log_lines import configure
    from gateway.app import check as check_connections
    from gateway.app import untried
    from gateway.settings import misspelt

    settings = settings_or_exit(config)
    click.echo("settings: ok")
    for variable, meant in misspelt():
        click.echo(f"{variable}: is ignored (did you mean {meant}?)", err=True)
    # The faults say it all; events on the way to them would be lines of another kind.
    configure("json", "error", now=time.time, sink=io.BytesIO())
    if faults := run(check_connections(settings)):
        complain(faults, FAILED)
    click.echo("connections: ok")
    click.echo(f"not tried, as it spends calls: {untried(settings)}")


def settings_or_exit(config: Path | None) -> Settings:
    """The settings of this process; exits with 2 and a line for each fault."""
    from gateway.settings import SettingsFault, load

    try:
        return load(config)
    except SettingsFault as fault:
        complain(map(str, fault.faults), WRONG_SETTINGS)


def run(work: Coroutine[object, object, T]) -> T:
    """Run on the fastest event loop there is."""
    from uvicorn.loops.auto import auto_loop_factory

    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        return runner.run(work)


def complain(faults: Iterable[str], exit_code: int) -> NoReturn:
    """One line a fault on standard error, then exit."""
    for fault in faults:
        click.echo(fault, err=True)
    raise click.exceptions.Exit(exit_code)


_PATIENCE = 2.0
# Where somebody who listens on all addresses is found.
_HERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@click.command(
    short_help="Whether the gateway of these settings lives; for health checks.",
    epilog="""\b
Example:
  gateway health --config config/gateway.toml""",
)
@config_option
def health(config: Path | None) -> None:
    """Ask the admin port that the settings name for /livez, on this machine, by TLS where they
    name a certificate; any certificate will do.

    Says nothing, with exit code 0, where it answers; a line and exit code 1 where it does not.
    """
    connection = _connection(settings_or_exit(config))
    address = f"{connection.host}:{connection.port}"
    try:
        connection.request("GET", "/livez")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        complain([f"admin.port: {address} does not answer: {error}"], FAILED)
    finally:
        connection.close()
    if status != 200:
        complain([f"admin.port: {address} answers {status}"], FAILED)


def _connection(settings: Settings) -> HTTPConnection:
    admin = settings.admin
    host = _HERE.get(admin.host, admin.host)
    if admin.tls_cert is None:
        return HTTPConnection(host, admin.port, timeout=_PATIENCE)
    anybody = ssl.create_default_context()
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, admin.port, timeout=_PATIENCE, context=anybody)
