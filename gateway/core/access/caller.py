"""The caller of a request: a credential becomes (client, tenant, partition), or a refusal.

Here are the modes without a file of clients; with one, see clients.

One function makes every partition, for L1, L2, flights, negative entries and budget alike.
Nothing here reads a file or keeps a credential longer than the caller it belongs to.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from gateway.core.budget.rates import Rate
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
