"""Settings that are allowed, but close or open a port more widely than an operator probably means.

`gateway check` prints these warnings, and the start logs each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.settings import AccessMode, Settings
from gateway.web.admin.guard import is_loopback

_ALL_INTERFACES = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Exposure:
    """A warning: the event of the log, the setting, what follows from it, and what to do."""

    event: str
    setting: str
    effect: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.effect} ({self.remedy})"


def exposures(settings: Settings) -> Iterator[Exposure]:
    """The warnings about these settings."""
    admin, server = settings.admin, settings.server
    if (admin.token or admin.tokens_file) is None and not is_loopback(admin.host):
        yield Exposure(
            "admin.token-missing",
            "admin.token",
            f'is unset, and admin.host is "{admin.host}": all requests except /metrics, /livez, '
            "/readyz and the page's files get 401",
            "set GATEWAY_ADMIN__TOKEN, GATEWAY_ADMIN__TOKEN_FILE or GATEWAY_ADMIN__TOKENS_FILE",
        )
    if settings.access.mode is AccessMode.OPEN and server.host in _ALL_INTERFACES:
        yield Exposure(
            "access.open",
            "access.mode",
            f'is "open", and server.host is "{server.host}": everybody in the networks of this '
            f"machine can read all trainings at port {server.port}, with the gateway's token",
            "let a firewall or a network policy protect the port, or name one address in "
            'server.host, or use the mode "clients"',
        )
