"""One call to the API as the simulator looks at it (whose, of which kind, for which training), and
the keys that calls carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from starlette.datastructures import Headers, QueryParams


class CallKind(StrEnum):
    """What a call is about, as far as faults care."""

    READ = "read"
    LIST = "list"
    WRITE = "write"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read to its end; `endpoint` is the method and the route's template."""

    method: str
    path: str
    endpoint: str
    kind: CallKind
    training_id: str | None
    token: str | None
    query: QueryParams
    headers: Headers
    body: bytes


class Scope(StrEnum):
    """What a key may do."""

    FULL = "full"
    READ = "read"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is in force."""

    organisation: str
    scope: Scope = Scope.FULL


class KeyRing:
    """The keys in force; a revoked one is as unknown as one that never was."""

    def __init__(self, organisations: Mapping[str, str]) -> None:
        self._keys = {token: Key(organisation) for token, organisation in organisations.items()}

    def get(self, token: str | None) -> Key | None:
        """The key of this token, if it is in force."""
        return None if token is None else self._keys.get(token)

    def add(self, token: str, key: Key) -> None:
        """Put a key in force, or change it."""
        self._keys[token] = key

    def revoke(self, token: str) -> None:
        """Take a key out of force."""
        self._keys.pop(token, None)


def bearer(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer` header."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
