"""The operators of the admin plane: their rights, and the SHA-256 of their tokens."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.core.access.caller import digest_of
from gateway.core.vocabulary import Right


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator, with the digests of the operator's tokens."""

    name: str
    digests: tuple[str, ...] = field(repr=False)
    may: frozenset[Right]


EVERYTHING: Final = frozenset(Right)
# NOBODY is the operator of requests for /metrics, /livez and /readyz. If no token is configured and
# the plane listens only on loopback, LOOPBACK is the operator of all other requests. Otherwise
# NOBODY is also the operator of requests for the files of the live page. All other requests then
# need a token. The tokens file must not use a name that is in RESERVED.
TOKEN_NAME: Final = "admin.token"
LOOPBACK: Final = Operator("loopback", (), EVERYTHING)
NOBODY: Final = Operator("nobody", (), frozenset())
RESERVED: Final = (TOKEN_NAME, LOOPBACK.name, NOBODY.name)


class Operators:
    """The operator with `admin.token` and all rights, and the operators of the tokens file."""

    def __init__(self, token: str | None, listed: Iterable[Operator] | None = None) -> None:
        self._own = (
            () if token is None else (Operator(TOKEN_NAME, (digest_of(token),), EVERYTHING),)
        )
        self._listed = None if listed is None else tuple(listed)

    @property
    def need_tokens(self) -> bool:
        """Whether `admin.token` or a tokens file, even an empty one, is configured."""
        return bool(self._own) or self._listed is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which orders are counted: only `loopback` if no token is needed."""
        known = (*self._own, *(self._listed or ()))
        return tuple(each.name for each in known) if self.need_tokens else (LOOPBACK.name,)

    def replace(self, listed: Iterable[Operator]) -> None:
        """Replace the operators of the tokens file."""
        self._listed = tuple(listed)

    def with_token(self, token: str) -> Operator | None:
        """The operator with this token, or None. All digests are compared, each in constant
        time."""
        presented = digest_of(token)
        found = None
        for operator in (*self._own, *(self._listed or ())):
            for digest in operator.digests:
                if hmac.compare_digest(presented, digest):
                    found = operator
        return found
