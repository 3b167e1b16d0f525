"""Finds the client, tenant and partition of a caller's credential, or refuses the credential.

In the mode `clients` entries belong to the tenant. So the partition stays the same if a client's
key or the tenant's token is replaced. Of the classes in this module, only `Caller` may contain a
caller's credential, as its `token`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from gateway.core.budget.window_log import Rate
from gateway.core.errors import AccessRefused, BearerMissing
from gateway.core.vocabulary import AccessRefusal

DEFAULT_TENANT = "default"

# RFC 6750, 2.1 (b64token), with a bound that no token of the API exceeds.
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]{1,4096}=*) *")


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller whose credential was accepted.

    scope       the name of the caller's budget
    token       is sent upstream
    owns_token  whether `token` is the caller's own, so that a 401 of the API concerns the caller
    rate        the client's own rate limit; None: no limit
    """

    client: str
    tenant: str
    partition: str
    scope: str
    token: str = field(repr=False)
    owns_token: bool
    rate: Rate | None = None

    @property
    def who(self) -> str:
        """The client and its partition. In the mode `passthrough` all callers have one client, and
        each token has its own partition."""
        return f"{self.client} {self.partition}"


def partition_of(*parts: str, secret: str | None = None) -> str:
    """Name a partition: 32 hex digits that do not reveal `parts`.

    The length of each part is hashed too, so ("a:b", "c") and ("a", "b:c") differ. With `secret`
    the name is an HMAC, so readers of Redis cannot test guessed credentials.
    """
    message = b"".join(b"%d:%s" % (len(raw), raw) for raw in (part.encode() for part in parts))
    if secret is None:
        return hashlib.sha256(message).hexdigest()[:32]
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()[:32]


def bearer(fields: Sequence[bytes], form: re.Pattern[bytes] = _BEARER) -> str:
    """The bearer token of the only `Authorization` field, which has the form. Raises
    AccessRefused."""
    if not fields:
        raise AccessRefused(AccessRefusal.CREDENTIAL_MISSING)
    match = form.fullmatch(fields[0]) if len(fields) == 1 else None
    if match is not None:
        return match[1].decode("ascii")
    if len(fields) == 1 and not fields[0].lower().startswith(b"bearer"):
        raise BearerMissing
    raise AccessRefused(AccessRefusal.CREDENTIAL_MALFORMED)


@dataclass(frozen=True, slots=True)
class Passthrough:
    """The mode `passthrough`: the caller's own token goes upstream, and has its own partition."""

    base_url: str
    secret: str | None = field(repr=False)
    budget_per_credential: bool
    owns_tokens: ClassVar[bool] = True

    def admit(self, authorization: Sequence[bytes]) -> Caller:
        """Accept any well-formed token. Only the upstream knows whether a token is valid. Raises
        AccessRefused."""
        token = bearer(authorization)
        partition = partition_of("passthrough", self.base_url, token, secret=self.secret)
        scope = partition if self.budget_per_credential else DEFAULT_TENANT
        return Caller("passthrough", DEFAULT_TENANT, partition, scope, token, owns_token=True)

    def partitions(self) -> Mapping[str, str]:
        """The partitions by tenant. Empty, because no token is known in advance."""
        return {}

    def own_callers(self) -> Mapping[str, Caller]:
        """For each tenant, the `Caller` of the gateway's own calls. Empty, because the gateway has
        no token."""
        return {}

    def clients_of(self, tenant: str) -> tuple[str, ...]:
        """The names under which the tenant's requests are counted."""
        return ("passthrough",)


@dataclass(frozen=True, slots=True)
class Open:
    """The mode `open`, for a trusted network: any caller's request goes upstream with the gateway's
    token."""

    base_url: str
    secret: str | None = field(repr=False)
    token: str = field(repr=False)
    owns_tokens: ClassVar[bool] = False

    def admit(self, authorization: Sequence[bytes]) -> Caller:
        """Accept every request."""
        partition = self.partitions()[DEFAULT_TENANT]
        return Caller("open", DEFAULT_TENANT, partition, DEFAULT_TENANT, self.token, False)

    def partitions(self) -> Mapping[str, str]:
        """The partitions by tenant. There is only one partition, which all callers share."""
        name = partition_of("open", self.base_url, DEFAULT_TENANT, secret=self.secret)
        return {DEFAULT_TENANT: name}

    def own_callers(self) -> Mapping[str, Caller]:
        """For each tenant, the `Caller` of the gateway's own calls. Requests get the same
        `Caller`."""
        return {DEFAULT_TENANT: self.admit(())}

    def clients_of(self, tenant: str) -> tuple[str, ...]:
        """The names under which the tenant's requests are counted."""
        return ("open",)


# People and secret scanners recognise leaked keys by this prefix.
KEY_PREFIX = "gw_"


def digest_of(key: str) -> str:
    """The SHA-256 of a key or of an operator's token, in lower-case hex digits.

    A plain hash is enough because keys and tokens are random.
    """
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant. `rate` None: its budget is unlimited."""

    name: str
    token: str = field(repr=False)
    rate: Rate | None


@dataclass(frozen=True, slots=True)
class Client:
    """A client. `rate` None: no rate limit of its own."""

    name: str
    digests: tuple[str, ...] = field(repr=False)
    tenant: str
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Clients:
    """The mode `clients`: the tenants, and the clients that may send requests."""

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
        """Make a `Clients` with its look-up tables. The tenant of each client has to be in
        `tenants`. Each digest has to be unique."""
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
        """Accept a request with a known key. Raises AccessRefused."""
        caller = self._callers.get(digest_of(bearer(authorization)))
        if caller is None:
            raise AccessRefused(AccessRefusal.CREDENTIAL_UNKNOWN)
        return caller

    def partitions(self) -> Mapping[str, str]:
        """The partitions by tenant."""
        return self._partitions

    def own_callers(self) -> Mapping[str, Caller]:
        """For each tenant, the `Caller` of the gateway's own calls."""
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
        """The tenant's upstream token. None if the tenant is unknown."""
        return self._tokens.get(tenant)

    def clients_of(self, tenant: str) -> tuple[str, ...]:
        """The names under which the tenant's requests are counted."""
        return tuple(client.name for client in self.clients if client.tenant == tenant)

    def rates(self) -> Mapping[str, Rate | None]:
        """The rate of each tenant's budget. None: unlimited."""
        return {tenant.name: tenant.rate for tenant in self.tenants}
