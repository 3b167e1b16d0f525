"""The operators of the admin plane: their tokens, and what each of them may do.

A token is known by its SHA-256 alone, and is found in the same time whichever it is. Nothing here
reads a file; what is known may be replaced while running.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.core.access.caller import digest_of
from gateway.core.vocabulary import Right


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who gives orders, with any of several tokens; `may` is what the tokens allow."""

    name: str
    digests: tuple[str, ...] = field(repr=False)
    may: frozenset[Right]


EVERYTHING: Final = frozenset(Right)
# The names of those without a row in the file, which no row may have.
TOKEN_NAME: Final = "admin.token"
LOOPBACK: Final = Operator("loopback", (), EVERYTHING)
NOBODY: Final = Operator("nobody", (), frozenset())
RESERVED: Final = (TOKEN_NAME, LOOPBACK.name, NOBODY.name)


class Operators:
    """Everybody with a token: the one of `admin.token`, who may do everything, and those of the
    tokens file."""

    def __init__(self, token: str | None, listed: Iterable[Operator] | None = None) -> None:
        self._own = (
            () if token is None else (Operator(TOKEN_NAME, (digest_of(token),), EVERYTHING),)
        )
        self._listed = None if listed is None else tuple(listed)

    @property
    def need_tokens(self) -> bool:
        """Whether any token is known, or a file of them is."""
        return bool(self._own) or self._listed is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Those under which orders are counted, the one of loopback where no token is needed."""
        known = (*self._own, *(self._listed or ()))
        return tuple(each.name for each in known) if self.need_tokens else (LOOPBACK.name,)

    def replace(self, listed: Iterable[Operator]) -> None:
        """Others are in the tokens file from now on."""
        self._listed = tuple(listed)

    def with_token(self, token: bytes) -> Operator | None:
        """The operator who has it; None for a token that is not known. All digests are compared,
        each in constant time."""
        presented = digest_of(token.decode("ascii", "replace"))
        found = None
        for operator in (*self._own, *(self._listed or ())):
            for digest in operator.digests:
                if hmac.compare_digest(presented, digest):
                    found = operator
        return found
