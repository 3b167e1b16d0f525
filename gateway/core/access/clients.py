"""The mode `clients`: callers present keys of ours, the gateway holds the upstream's tokens.

A key is known by its SHA-256 alone. What is stored belongs to the tenant: neither another key
nor another upstream token makes another partition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from gateway.core.access.caller import Caller, bearer, partition_of
from gateway.core.budget.rates import Rate
from gateway.core.errors import AccessRefused
from gateway.core.vocabulary import AccessRefusal

# By the prefix people and scanners see what it is that they found.
KEY_PREFIX = "gw_"


def digest_of(key: str) -> str:
    """What the clients file has of a key: its SHA-256 in lower-case hex digits.

    A plain hash is enough for a key that nobody can guess; of a word it would not be.
    """
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose trainings: one upstream token, one budget (`rate` None: unlimited), one partition."""

    name: str
    token: str = field(repr=False)
    rate: Rate | None


@dataclass(frozen=True, slots=True)
class Client:
    """A client with any of several keys; `rate` None: as often as it likes."""

    name: str
    digests: tuple[str, ...] = field(repr=False)
    tenant: str
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Clients:
    """All who may ask."""

    tenants: tuple[Tenant, ...]
    clients: tuple[Client, ...]
    _partitions: Mapping[str, str]
    _callers: Mapping[str, Caller] = field(repr=False)
    _tokens: Mapping[str, str] = field(repr=False)
    owns_tokens: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        base_url: str,
        secret: str | None,
        tenants: Iterable[Tenant],
        clients: Iterable[Client],
    ) -> Self:
        """Know these; each client's tenant is one of them, and no digest comes twice."""
        by_name = {tenant.name: tenant for tenant in tenants}
        known = tuple(clients)
        partitions = {
            name: partition_of("clients", base_url, name, secret=secret) for name in by_name
        }
        callers = {
            digest: Caller(
                client=client.name,
                tenant=client.tenant,
                partition=partitions[client.tenant],
                scope=client.tenant,
                token=by_name[client.tenant].token,
                owns_token=False,
                rate=client.rate,
            )
            for client in known
            for digest in client.digests
        }
        tokens = {name: tenant.token for name, tenant in by_name.items()}
        return cls(tuple(by_name.values()), known, partitions, callers, tokens)

    def admit(self, authorization: Sequence[bytes]) -> Caller:
        """Let in who presents a key that is known; raises AccessRefused."""
        caller = self._callers.get(digest_of(bearer(authorization)))
        if caller is None:
            raise AccessRefused(AccessRefusal.CREDENTIAL_UNKNOWN)
        return caller

    def partitions(self) -> Mapping[str, str]:
        """By tenant."""
        return self._partitions

    def own_callers(self) -> Mapping[str, Caller]:
        """By tenant, as whom the gateway itself asks: with the tenant's token."""
        return {
            each.name: Caller(
                client="",
                tenant=each.name,
                partition=self._partitions[each.name],
                scope=each.name,
                token=each.token,
                owns_token=False,
            )
            for each in self.tenants
        }

    def token_of(self, tenant: str) -> str | None:
        """The token that goes upstream for the tenant; None if there is no such tenant."""
        return self._tokens.get(tenant)

    def clients_of(self, tenant: str) -> tuple[str, ...]:
        """Under which names callers of the tenant are counted."""
        return tuple(client.name for client in self.clients if client.tenant == tenant)

    def rates(self) -> Mapping[str, Rate | None]:
        """The budget of each tenant."""
        return {tenant.name: tenant.rate for tenant in self.tenants}
