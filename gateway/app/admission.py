"""Who may ask, from the settings and the clients file, and what changes while running.

What the file says is read by the settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.file_watch import FileWatch
from gateway.core.access.caller import Open, Passthrough
from gateway.core.access.clients import Clients
from gateway.core.access.registry import Access, Callers
from gateway.core.budget.rates import OwnRates
from gateway.ports import Clock
from gateway.settings import (
    AccessMode,
    ClientsGiven,
    RateScope,
    Settings,
    clients_file,
    read_clients,
)


@dataclass(slots=True)
class Admission:
    """What depends on the clients file, and what that said when the process started; None: there
    is no such file here."""

    callers: Callers
    rates: OwnRates
    started: ClientsGiven | None = None
    reloaded: bool | None = None

    @property
    def tenants(self) -> tuple[str, ...]:
        """Those that have a budget; callers with tokens of their own are one tenant."""
        access = self.callers.access
        return tuple(access.partitions()) or ("default",)


def admission_of(settings: Settings) -> Admission:
    """As it is at the start; raises SettingsFault for a clients file that went bad since."""
    path = _clients_file(settings)
    if path is None:
        return Admission(Callers(_access_of(settings)), OwnRates())
    given = read_clients(path, settings.upstream.rate_limit)
    clients = _clients_of(settings, given)
    return Admission(Callers(clients), OwnRates(clients.rates()), given, reloaded=True)


def _access_of(settings: Settings) -> Access:
    base_url, secret = settings.upstream.base_url, _text(settings.access.secret)
    if settings.access.mode is AccessMode.OPEN and settings.upstream.token is not None:
        return Open(base_url, secret, settings.upstream.token.get_secret_value())
    per_credential = settings.upstream.rate_scope is RateScope.CREDENTIAL
    return Passthrough(base_url, secret, per_credential)


def _clients_file(settings: Settings) -> Path | None:
    access = settings.access
    return access.clients_file if access.mode is AccessMode.CLIENTS else None


def _clients_of(settings: Settings, given: ClientsGiven) -> Clients:
    base_url, secret = settings.upstream.base_url, _text(settings.access.secret)
    return Clients.of(base_url, secret, given.tenants, given.clients)


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def clients_watch(
    settings: Settings, admission: Admission, clock: Clock, telemetry: Telemetry
) -> FileWatch[ClientsGiven] | None:
    """Takes the clients file again when it changes; a faulty one changes nothing but `reloaded`.
    None where there is no such file."""
    for tenant in admission.tenants:
        telemetry.clients_known(admission.callers.access.clients_of(tenant))
    path = _clients_file(settings)
    if path is None or admission.started is None:
        return None

    def take(given: ClientsGiven) -> None:
        clients = _clients_of(settings, given)
        admission.callers.replace(clients)
        admission.rates.replace(clients.rates())
        admission.reloaded = True
        telemetry.clients_known([client.name for client in given.clients])
        telemetry.clients_reloaded(len(given.tenants), len(given.clients))

    def refuse(faults: list[str]) -> None:
        admission.reloaded = False
        telemetry.clients_refused(faults)

    file = clients_file(path, settings.upstream.rate_limit)
    return FileWatch(file, clock, admission.started, take=take, refuse=refuse)
