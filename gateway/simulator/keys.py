"""The API keys: the organisation of each, and what it may do; no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


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
