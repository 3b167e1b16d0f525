"""The callers that were known before: one look-up for a credential, and its own rate.

Synchronous, so that it can be asked for a hit. Bounded. A credential is kept here as the bytes
that were sent, and nowhere else: nothing here is printed, logged or told.

The rate of a caller is handed out smoothly, by GCRA (ITU-T I.371): one number a caller, the time at
which all that was granted would have been used up at the mean rate. Nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.core.access.caller import Caller, Clients, Open, Passthrough
from gateway.core.budget.window_log import Rate

Access = Passthrough | Open | Clients

# Together with the bound on their length: 16 MiB of credentials at most.
_MOST: Final = 16_384
_LONGEST: Final = 1_024


class Admitted:
    """A caller that was let in; `allowance` None: it may ask as often as it likes."""

    __slots__ = ("allowance", "caller", "client", "partition")

    def __init__(self, caller: Caller, allowance: Allowance | None) -> None:
        self.caller = caller
        self.client, self.partition = caller.client, caller.partition
        self.allowance = allowance


class Callers:
    """Lets callers in, by the rules of `access`, which may be replaced while running."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._known: dict[bytes, Admitted] = {}
        # Who sent these bytes before, by the rules that hold now; no method of ours: each hit asks.
        self.known = self._known.get
        self._allowances: dict[tuple[str, Rate], Allowance] = {}

    @property
    def access(self) -> Access:
        """The rules that hold now."""
        return self._access

    def replace(self, access: Access) -> None:
        """Other rules from now on; a client that keeps name and rate keeps what is left of it."""
        self._access = access
        self._known.clear()
        named = access.clients if isinstance(access, Clients) else ()
        kept = {(client.name, client.rate) for client in named}
        self._allowances = {who: left for who, left in self._allowances.items() if who in kept}

    def current(self, caller: Caller) -> Caller:
        """The caller with the token that its tenant has now: a call may have waited since.

        A caller's own token, and that of a tenant that is gone, stay.
        """
        if caller.owns_token or not isinstance(self._access, Clients):
            return caller
        token = self._access.token_of(caller.tenant)
        return caller if token in (None, caller.token) else replace(caller, token=token)

    def admit(self, authorization: Sequence[bytes]) -> Admitted:
        """The caller with these `Authorization` fields; raises AccessRefused."""
        sent = authorization[0] if len(authorization) == 1 else b""
        known = self._known.get(sent)
        if known is not None:
            return known
        caller = self._access.admit(authorization)
        admitted = Admitted(caller, self._allowance_of(caller))
        if len(sent) <= _LONGEST:
            self._remember(sent, admitted)
        return admitted

    def _remember(self, sent: bytes, admitted: Admitted) -> None:
        if len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[sent] = admitted

    def _allowance_of(self, caller: Caller) -> Allowance | None:
        """One a client, however many keys it has."""
        if caller.rate is None:
            return None
        return self._allowances.setdefault((caller.client, caller.rate), Allowance(caller.rate))


_SHARE_AT_ONCE: Final = 10
_ALWAYS_AT_ONCE: Final = 10
# Sums of floats: a caller that waited exactly as long as told must not be told to wait more.
_TOLERANCE: Final = 1e-6


def burst_of(rate: Rate) -> int:
    """How many may come at once: a tenth of the limit, ten at least, never more than all."""
    return min(rate.limit, max(_ALWAYS_AT_ONCE, rate.limit // _SHARE_AT_ONCE))


class Allowance:
    """One caller's: never more than `rate.limit` and the burst in any window.

    Who keeps to the mean rate is never refused; what is refused costs nothing. `now` is
    seconds on a clock that does not run backwards.
    """

    __slots__ = ("_slack", "_spacing", "_used_up_at", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._spacing = rate.window / rate.limit
        self._slack = (burst_of(rate) - 1) * self._spacing
        self._used_up_at = -math.inf

    def take(self, now: float) -> float:
        """0.0: granted; else the seconds (> 0) until one will be."""
        used_up_at = max(self._used_up_at, now)
        wait = used_up_at - self._slack - now
        if wait > _TOLERANCE:
            return wait
        self._used_up_at = used_up_at + self._spacing
        return 0.0

    def remaining(self, now: float) -> int:
        """How many would be granted at once."""
        return int((self._slack - self.full_in(now) + _TOLERANCE) / self._spacing + 1.0)

    def full_in(self, now: float) -> float:
        """Seconds until the whole burst is there again."""
        return max(0.0, self._used_up_at - now)
