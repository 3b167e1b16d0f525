"""How much of something in how long, and which budget has which rate.

Lives here: values and their look-up. What a rate means for one call is the business of
breaker, window_log and access/registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# The budget of credentials that the upstream has not accepted yet; no tenant can be called so.
NEWCOMERS: Final = ":newcomers"
_THEIR_SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` of them in any `window` seconds."""

    limit: int
    window: float


class OwnRates:
    """The scopes that have another rate than most; the tenants' may change while running."""

    def __init__(self, tenants: Mapping[str, Rate | None] | None = None) -> None:
        self._tenants = dict(tenants or {})

    def replace(self, tenants: Mapping[str, Rate | None]) -> None:
        """From now on the tenants have these; None is unlimited."""
        self._tenants = dict(tenants)

    def of(self, scope: str, usual: Rate | None) -> Rate | None:
        """What holds for the scope, where most have the `usual` one."""
        if scope == NEWCOMERS:
            return usual and Rate(max(1, usual.limit // _THEIR_SHARE), usual.window)
        return self._tenants.get(scope, usual)
