"""Builds the parts that accept callers and operators.

If the clients file or the tokens file changes, the parts are updated from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from pydantic import SecretStr

from gateway.adapters.telemetry.event_log import ERROR, INFO, Events
from gateway.adapters.telemetry.observer import Telemetry
from gateway.core.access.caller import Clients, Open, Passthrough
from gateway.core.access.operators import Operators
from gateway.core.access.registry import Access, Callers
from gateway.core.budget.window_log import Rates
from gateway.ports import Clock
from gateway.settings import (
    AccessMode,
    ClientsGiven,
    RateScope,
    RereadFile,
    Settings,
    SettingsFault,
    TokensGiven,
    clients_file,
    tokens_file,
)

# A log line names at most this many faults of a file.
_MOST_FAULTS = 20


@dataclass(slots=True)
class Admission:
    """The callers, and the rates of their budgets. `file`: the clients file (None: not used)."""

    callers: Callers
    rates: Rates
    file: RereadFile[ClientsGiven] | None = None

    @property
    def tenants(self) -> tuple[str, ...]:
        """The names of the tenants. In `passthrough` and `open` all callers are one tenant."""
        access = self.callers.access
        return tuple(access.partitions()) or ("default",)


def admission_of(settings: Settings) -> Admission:
    """The admission at the start. Raises SettingsFault if the clients file has a fault."""
    access, usual = settings.access, settings.upstream.rate_limit
    if access.mode is not AccessMode.CLIENTS or access.clients_file is None:
        return Admission(Callers(_access_of(settings)), Rates(usual))
    file = clients_file(access.clients_file, usual)
    clients = _clients_of(settings, file.given())
    return Admission(Callers(clients), Rates(usual, clients.rates()), file)


def _access_of(settings: Settings) -> Access:
    base_url, secret = settings.upstream.base_url, _text(settings.access.secret)
    if settings.access.mode is AccessMode.OPEN and settings.upstream.token is not None:
        return Open(base_url, secret, settings.upstream.token.get_secret_value())
    per_credential = settings.upstream.rate_scope is RateScope.CREDENTIAL
    return Passthrough(base_url, secret, per_credential)


def _clients_of(settings: Settings, given: ClientsGiven) -> Clients:
    base_url, secret = settings.upstream.base_url, _text(settings.access.secret)
    return Clients.of(base_url, secret, given.tenants, given.clients)


def _text(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def clients_watch(
    settings: Settings, admission: Admission, clock: Clock, telemetry: Telemetry
) -> FileWatch[ClientsGiven] | None:
    """The watch that applies changes of the clients file. None if no clients file is used.

    In every access mode, the counters are told the names under which requests are counted.
    """
    counters, say = telemetry.counters, telemetry.events.tell_state
    for tenant in admission.tenants:
        counters.know_clients(admission.callers.access.clients_of(tenant))
    if admission.file is None:
        return None

    def take(given: ClientsGiven) -> None:
        clients = _clients_of(settings, given)
        admission.callers.replace(clients)
        admission.rates.replace(clients.rates())
        counters.know_clients(client.name for client in given.clients)
        say(INFO, "clients.reloaded", tenants=len(given.tenants), clients=len(given.clients))

    refuse = partial(_refuse, telemetry.events, "clients.refused")
    return FileWatch(admission.file, clock, take=take, refuse=refuse)


def _refuse(events: Events, event: str, faults: list[str]) -> None:
    """Log that a file has faults, so that its previous version stays in force."""
    events.tell_state(ERROR, event, count=len(faults), faults=faults[:_MOST_FAULTS])


@dataclass(slots=True)
class OperatorAccess:
    """The operators. `file`: the tokens file (None: not used)."""

    operators: Operators
    file: RereadFile[TokensGiven] | None = None


def operator_access_of(settings: Settings) -> OperatorAccess:
    """As `admission_of`, for the tokens file."""
    token, path = _text(settings.admin.token), settings.admin.tokens_file
    if path is None:
        return OperatorAccess(Operators(token))
    file = tokens_file(path)
    return OperatorAccess(Operators(token, file.given().operators), file)


def tokens_watch(
    access: OperatorAccess, clock: Clock, telemetry: Telemetry
) -> FileWatch[TokensGiven] | None:
    """As `clients_watch`, for the tokens file."""
    counters = telemetry.counters
    counters.know_operators(access.operators.names)
    if access.file is None:
        return None

    def take(given: TokensGiven) -> None:
        access.operators.replace(given.operators)
        counters.know_operators(access.operators.names)
        telemetry.events.tell_state(INFO, "tokens.reloaded", tokens=len(given.operators))

    refuse = partial(_refuse, telemetry.events, "tokens.refused")
    return FileWatch(access.file, clock, take=take, refuse=refuse)


# Seconds between two looks at a file.
LOOK_EVERY: Final = 0.5

G = TypeVar("G")


class FileWatch(Generic[G]):
    """Looks at a file again and again. Gives new content to `take`, and new faults to `refuse`.

    Content or faults are used only if two looks in a row find them. So a half-written file is
    used only if its writer pauses for longer than `LOOK_EVERY`. The last content of `file` before
    the watch counts as used.
    """

    def __init__(
        self,
        file: RereadFile[G],
        clock: Clock,
        *,
        take: Callable[[G], None],
        refuse: Callable[[list[str]], None],
    ) -> None:
        self.file = file
        self._clock = clock
        self._take = take
        self._refuse = refuse
        self._seen: object = file.found
        self._known: object = file.found

    @property
    def is_content_used(self) -> bool:
        """Whether the present content is used. False: it has a fault."""
        return not isinstance(self._known, tuple)

    async def run(self) -> None:
        """Look at the file again and again, until cancelled."""
        while True:
            self.judge(await self._look())
            await self._clock.sleep(LOOK_EVERY)

    async def _look(self) -> G | SettingsFault:
        """Look at the file in a thread: a network drive can be slow. Returns a fault if no thread
        can be started."""
        try:
            return await asyncio.to_thread(self.file.look)
        except RuntimeError as error:
            return self.file.faulty(f"cannot be read: {error}")

    def judge(self, result: G | SettingsFault) -> None:
        """Use the result of a look, if the look before had the same result. Do nothing if this is
        the result that was used last."""
        found = result.faults if isinstance(result, SettingsFault) else result
        stood, self._seen = found == self._seen, found
        if not stood or found == self._known:
            return
        self._known = found
        if isinstance(result, SettingsFault):
            self._refuse([str(fault) for fault in result.faults])
        else:
            self._take(result)
