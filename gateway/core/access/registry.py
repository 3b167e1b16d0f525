"""Remembers accepted callers by their credentials, and enforces the rate limits of clients.

The table of callers contains their credentials, which are secret. So this module prints and logs
nothing. The rate limit is a GCRA (ITU-T I.371). Each granted request moves a point in time into the
future. If the point is too far ahead, a request is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.core.access.caller import Caller, Clients, Open, Passthrough
from gateway.core.budget.window_log import Rate

Access = Passthrough | Open | Clients

# At most _MOST credentials are remembered, so they need 16 MiB at most. A credential of more than
# _LONGEST bytes is not remembered.
_MOST: Final = 16_384
_LONGEST: Final = 1_024


class Admitted:
    """An accepted caller. `allowance` is None if the client has no rate limit of its own. `reads`
    counts its requests."""

    __slots__ = ("allowance", "caller", "client", "partition", "reads")

    def __init__(self, caller: Caller, allowance: Allowance | None) -> None:
        self.caller = caller
        self.client, self.partition = caller.client, caller.partition
        self.allowance = allowance
        self.reads = 0


class Callers:
    """Accepts callers by the rules in `access`."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._known: dict[bytes, Admitted] = {}
        # Returns the `Admitted` for the bytes of an `Authorization` field, or None. Each hit calls
        # this. So it is the dict's own method, which is faster than a method of this class.
        self.known = self._known.get
        self._allowances: dict[tuple[str, Rate], Allowance] = {}

    @property
    def access(self) -> Access:
        """The current rules."""
        return self._access

    def admitted(self) -> list[Admitted]:
        """All callers that are remembered."""
        return list(self._known.values())

    def replace(self, access: Access) -> None:
        """Replace the rules. A client whose name and rate stay the same keeps its allowance."""
        self._access = access
        self._known.clear()
        named = access.clients if isinstance(access, Clients) else ()
        kept = {(client.name, client.rate) for client in named}
        self._allowances = {
            who: allowance for who, allowance in self._allowances.items() if who in kept
        }

    def current(self, caller: Caller) -> Caller:
        """The caller with the present token of its tenant. The token was perhaps replaced after the
        caller was admitted.

        A caller whose tenant was removed keeps its token.
        """
        if caller.owns_token or not isinstance(self._access, Clients):
            return caller
        token = self._access.token_of(caller.tenant)
        return caller if token in (None, caller.token) else replace(caller, token=token)

    def admit(self, authorization: Sequence[bytes]) -> Admitted:
        """The caller with these `Authorization` fields. Raises AccessRefused."""
        sent = authorization[0] if len(authorization) == 1 else b""
        known = self._known.get(sent)
        if known is not None:
            known.reads += 1
            return known
        caller = self._access.admit(authorization)
        admitted = Admitted(caller, self._allowance_of(caller))
        admitted.reads = 1
        if len(sent) <= _LONGEST:
            self._remember(sent, admitted)
        return admitted

    def _remember(self, sent: bytes, admitted: Admitted) -> None:
        if len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[sent] = admitted

    def _allowance_of(self, caller: Caller) -> Allowance | None:
        """The allowance of the caller's client, which all keys of the client share."""
        if caller.rate is None:
            return None
        return self._allowances.setdefault((caller.client, caller.rate), Allowance(caller.rate))


# Seconds. A rounding error must not refuse a caller that waited for the stated time.
_TOLERANCE: Final = 1e-6


class Allowance:
    """The allowance of one client: the policy that callers are told, and what is left of it.

    `quota` requests may come at once, or evenly within `seconds`. In `seconds` at most twice as
    many are granted: those that were saved, and those that become available meanwhile.

    A refused request costs nothing. `now` is seconds on a clock that does not run backwards.
    """

    __slots__ = ("_full_at", "_slack", "_spacing", "quota", "seconds")

    def __init__(self, rate: Rate) -> None:
        # The fields about rate limits need whole seconds.
        self.seconds = math.ceil(rate.window)
        self.quota = int(rate.limit * self.seconds / rate.window)
        self._spacing = rate.window / rate.limit
        self._slack = (self.quota - 1) * self._spacing
        # The whole quota is available from this time on. The time is on the same clock as `now`.
        self._full_at = -math.inf

    def take(self, now: float) -> float:
        """Take one request. Returns 0.0 if it is granted, otherwise the seconds (> 0) to wait."""
        full_at = max(self._full_at, now)
        wait = full_at - self._slack - now
        if wait > _TOLERANCE:
            return wait
        self._full_at = full_at + self._spacing
        return 0.0

    def remaining(self, now: float) -> int:
        """How many requests would be granted now."""
        return int((self._slack - self.full_in(now) + _TOLERANCE) / self._spacing + 1.0)

    def full_in(self, now: float) -> float:
        """Seconds until the whole quota is available again."""
        return max(0.0, self._full_at - now)
