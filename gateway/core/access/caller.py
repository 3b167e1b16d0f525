"""The caller of a request: a credential becomes (client, tenant, partition), or a refusal.

One function makes every partition, for L1, L2, flights, negative entries and budget alike.
Nothing here reads a file or keeps a credential longer than the caller it belongs to.

In the mode `clients` callers present keys of ours, and the gateway holds the upstream's tokens. A
key is known by its SHA-256 alone. What is stored belongs to the tenant: neither another key nor
another upstream token makes another partition.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from gateway.core.budget.window_log import Rate
from gateway.core.errors import AccessRefused
from gateway.core.vocabulary import AccessRefusal

DEFAULT_TENANT = "default"

# RFC 6750, 2.1 (b64token), bounded: what is longer is no token of the API.
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]{1,4096}=*) *")


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller that was let in.

    `token` goes upstream; `owns_token` tells whether it is the caller's own, so that the
    upstream's 401 concerns the caller and not us. `scope` names the budget that pays, `rate`
    is what the client itself may ask for (None: any number).
    """

    client: str
    tenant: str
    partition: str
    scope: str
    token: str = field(repr=False)
    owns_token: bool
    rate: Rate | None = None


def partition_of(*parts: str, secret: str | None = None) -> str:
    """Name a share of the cache: 32 hex digits that tell nothing about `parts`.

    Parts are length-prefixed, so that ("a:b", "c") differs from ("a", "b:c"); with `secret`
    it is an HMAC, so that a guessed credential cannot be confirmed by who reads Redis.
    """
    message = b"".join(b"%d:%s" % (len(raw), raw) for raw in (part.encode() for part in parts))
    if secret is None:
        return hashlib.sha256(message).hexdigest()[:32]
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()[:32]


def bearer(fields: Sequence[bytes]) -> str:
    """The token of the one `Authorization: Bearer` field; raises AccessRefused."""
    if not fields:
        raise AccessRefused(AccessRefusal.CREDENTIAL_MISSING)
    match = _BEARER.fullmatch(fields[0]) if len(fields) == 1 else None
    if match is None:
        raise AccessRefused(AccessRefusal.CREDENTIAL_MALFORMED)
    return match[1].decode("ascii")


@dataclass(frozen=True, slots=True)
class Passthrough:
    """The caller's own bearer token goes upstream and has its own partition."""

    base_url: str
    secret: str | None = field(repr=False)
    budget_per_credential: bool
    owns_tokens: ClassVar[bool] = True

    def admit(self, authorization: Sequence[bytes]) -> Caller:
        """Let in whoever presents a token; the upstream judges it. Raises AccessRefused."""
        token = bearer(authorization)
        partition = partition_of("passthrough", self.base_url, token, secret=self.secret)
        scope = partition if self.budget_per_credential else DEFAULT_TENANT
        return Caller("passthrough", DEFAULT_TENANT, partition, scope, token, owns_token=True)

    def partitions(self) -> Mapping[str, str]:
        """By tenant, those that are known beforehand: none, each credential makes its own."""
        return {}

    def own_callers(self) -> Mapping[str, Caller]:
        """By tenant, as whom the gateway itself asks: as nobody, it has no token."""
        return {}

    def clients_of(self, tenant: str) -> tuple[str, ...]:
        """Under which names callers of the tenant are counted."""
        return ("passthrough",)


@dataclass(frozen=True, slots=True)
class Open:
    """No caller is checked; the gateway's token goes upstream. For a trusted network."""

    base_url: str
    secret: str | None = field(repr=False)
    token: str = field(repr=False)
    owns_tokens: ClassVar[bool] = False

    def admit(self, authorization: Sequence[bytes]) -> Caller:
        """Let in everybody; the partition outlives a rotation of the token."""
        partition = self.partitions()[DEFAULT_TENANT]
        return Caller("open", DEFAULT_TENANT, partition, DEFAULT_TENANT, self.token, False)

    def partitions(self) -> Mapping[str, str]:
        """By tenant: the one of everybody."""
        name = partition_of("open", self.base_url, DEFAULT_TENANT, secret=self.secret)
        return {DEFAULT_TENANT: name}

    def own_callers(self) -> Mapping[str, Caller]:
        """By tenant, as whom the gateway itself asks: as everybody does."""
        return {DEFAULT_TENANT: self.admit(())}

    def clients_of(self, tenant: str) -> tuple[str, ...]:
        """Under which names callers of the tenant are counted."""
        return ("open",)


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
