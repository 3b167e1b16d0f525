"""The commands `gateway serve`, `gateway check` and `gateway health`."""

# ruff: noqa: PLC0415 -- heavy imports wait until a command runs

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import Coroutine, Iterable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from gateway.settings import AdminSettings, Settings


T = TypeVar("T")

FAILED = 1
WRONG_SETTINGS = 2
_STANDARD_ERROR = 2

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The TOML file of settings. Default: the file that GATEWAY_CONFIG names, if any. "
    "Environment variables such as GATEWAY_SERVER__PORT override the file.",
)


@click.command(
    short_help="Run the gateway.",
    epilog="""\b
Examples:
  gateway serve --config config/gateway.toml
  GATEWAY_UPSTREAM__BASE_URL=https://api.open.cx GATEWAY_SERVER__PORT=9000 gateway serve""",
)
@config_option
def serve(config: Path | None) -> None:
    """Run the gateway until SIGTERM, SIGINT or SIGHUP. Then finish the requests in flight, and exit
    with code 0.

    A second signal ends the process at once.

    Exit code 2: the settings have faults. Exit code 1: the gateway cannot start, for example
    because a port is in use. Each fault is one line on standard error.
    """
    _end_by_signals()
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
    """Check the settings, and whether their ports, files, API and Redis can be used.

    The command makes no call that counts against the limit of the API. Therefore two things are not
    checked: whether the server at upstream.base_url is the API, and whether the API accepts the
    tokens. If there are no faults, the last line of the output names both.

    Exit code 2: the settings have faults. Exit code 1: ports, files, the API or Redis have faults.
    Each fault is one line. A warning is a line too, and does not change the exit code: the settings
    open or close a port more widely than you perhaps mean.
    """
    import io
    import time

    from gateway.adapters.telemetry.log_lines import configure
    from gateway.app import check as check_connections
    from gateway.app import exposures, untried
    from gateway.settings import misspelt

    settings = settings_or_exit(config)
    click.echo("settings: ok")
    for variable, meant in misspelt():
        click.echo(f"{variable}: is ignored (did you mean {meant}?)", err=True)
    for each in exposures(settings):
        click.echo(f"warning: {each}", err=True)
    # This command prints the faults itself, so the lines of the log go nowhere.
    configure("json", "error", now=time.time, sink=io.BytesIO())
    if faults := run(check_connections(settings)):
        complain(faults, FAILED)
    click.echo("connections: ok")
    click.echo(f"not checked: {untried(settings)} (this would need calls to the API)")


def settings_or_exit(config: Path | None) -> Settings:
    """The settings. If they have faults, exits with code 2 and a line for each fault."""
    from gateway.settings import SettingsFault, load

    try:
        return load(config)
    except SettingsFault as fault:
        complain(map(str, fault.faults), WRONG_SETTINGS)


def run(work: Coroutine[object, object, T]) -> T:
    """Run `work` on the fastest event loop that is installed."""
    from uvicorn.loops.auto import auto_loop_factory

    open_standard_descriptors()
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        return runner.run(work)


def open_standard_descriptors() -> None:
    """Open the descriptors 0, 1 and 2 if they are closed. Otherwise the event loop would get these
    numbers for its own descriptors, and libuv aborts the process when it has to close a descriptor
    with such a number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        continue
    os.close(descriptor)


def complain(faults: Iterable[str], exit_code: int) -> NoReturn:
    """Print one line for each fault on standard error, and exit."""
    for fault in faults:
        click.echo(fault, err=True)
    raise click.exceptions.Exit(exit_code)


def _end_by_signals() -> None:
    """Let signals end this process if it is the first process of a container. The kernel drops the
    signals that such a process does not handle."""
    if os.getpid() != 1:
        return
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, lambda number, _: os._exit(128 + number))


_PATIENCE = 2.0
# Without these settings, `gateway health` cannot know whom to ask.
_OF_THE_ADDRESS = {"admin.host", "admin.port", "admin.tls_cert"}
# The address to connect to if a server listens on all addresses.
HERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@click.command(
    short_help="Check whether a gateway with these settings runs here.",
    epilog="""\b
Example:
  gateway health --config config/gateway.toml""",
)
@config_option
def health(config: Path | None) -> None:
    """Ask /livez on the admin port of the settings, on this machine. A container can use this
    command as its health check. TLS is used if the settings have a certificate. The certificate is
    not checked. Faults in other settings than the port, the host and the certificate are ignored,
    because somebody may have edited the settings after the gateway started. If the file of settings
    cannot be read, it is ignored: the environment and the defaults give the address.

    Exit code 0, without output: the gateway answers. Exit code 1: it does not, or a setting of its
    address has a fault. Each fault is one line.
    """
    from gateway.settings import load_admin

    admin, faults = load_admin(config)
    if unsure := [str(each) for each in faults if each.name in _OF_THE_ADDRESS]:
        complain(unsure, FAILED)
    connection = _connection(admin)
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


def _connection(admin: AdminSettings) -> HTTPConnection:
    host = HERE.get(admin.host, admin.host)
    if admin.tls_cert is None:
        return HTTPConnection(host, admin.port, timeout=_PATIENCE)
    anybody = ssl.create_default_context()
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, admin.port, timeout=_PATIENCE, context=anybody)
