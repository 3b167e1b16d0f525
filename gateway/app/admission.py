"""Who may ask, from the settings and the clients file, and what changes while running.

The file's watch is here because only the house itself reads the clock and swaps what its
parts have; what the file says is read by the settings.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from gateway.adapters.telemetry.observer import Telemetry
from gateway.core.access.caller import Open, Passthrough
from gateway.core.access.clients import Clients
from gateway.core.access.registry import Access, Callers
from gateway.core.budget.rates import OwnRates
from gateway.ports import Clock
from gateway.settings import (
    AccessMode,
    ClientsGiven,
    Look,
    RateScope,
    Settings,
    SettingsFault,
    clients_file,
    read_clients,
)

# Seconds between two looks at the clients file.
LOOK_EVERY: Final = 0.5


@dataclass(slots=True)
class Admission:
    """What depends on the clients file; `reloaded` None: there is no such file here."""

    callers: Callers
    rates: OwnRates
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
    return Admission(Callers(clients), OwnRates(clients.rates()), reloaded=True)


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


class ClientsWatch:
    """Takes the clients file again when it changes; a faulty one changes nothing but `reloaded`.

    What two looks in a row find is taken, so that a file half written is not.
    """

    def __init__(
        self, settings: Settings, admission: Admission, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._clock = clock
        self._telemetry = telemetry
        self._seen: object = None
        self._known: object = None
        for tenant in admission.tenants:
            telemetry.clients_known(admission.callers.access.clients_of(tenant))

    async def run(self) -> None:
        """Look again and again, until cancelled by the owner."""
        path = _clients_file(self._settings)
        if path is None:
            return
        file = clients_file(path, self._settings.upstream.rate_limit)
        while True:
            # In a thread, for a long file takes its time to parse.
            self.judge(await asyncio.to_thread(file.look))
            await self._clock.sleep(LOOK_EVERY)

    def judge(self, look: Look) -> None:
        """Take what a look found, once it has stood for two."""
        found = look if isinstance(look, ClientsGiven) else look.faults
        stood, self._seen = found == self._seen, found
        if not stood or found == self._known:
            return
        first, self._known = self._known is None, found
        if isinstance(look, SettingsFault):
            self._admission.reloaded = False
            self._telemetry.clients_refused([str(fault) for fault in look.faults])
        elif not self._is_the_one_in_force(look, first):
            self._take(look)

    def _is_the_one_in_force(self, given: ClientsGiven, first: bool) -> bool:
        """Whether it is what the process started with."""
        access = self._admission.callers.access
        return first and access == _clients_of(self._settings, given)

    def _take(self, given: ClientsGiven) -> None:
        clients = _clients_of(self._settings, given)
        self._admission.callers.replace(clients)
        self._admission.rates.replace(clients.rates())
        self._admission.reloaded = True
        self._telemetry.clients_known([client.name for client in given.clients])
        self._telemetry.clients_reloaded(len(given.tenants), len(given.clients))
