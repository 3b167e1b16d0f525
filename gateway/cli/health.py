"""`gateway health`: what a container's health check runs beside the gateway."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.serve import FAILED, complain, config_option, settings_or_exit

if TYPE_CHECKING:
    from gateway.settings import Settings

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
