"""Credentials that the upstream accepted or refused. To forget one costs a call at most."""

from __future__ import annotations

from typing import Final

from cachetools import FIFOCache, TTLCache

from gateway.core.access.caller import Caller
from gateway.core.errors import AccessRefused
from gateway.core.vocabulary import AccessRefusal
from gateway.ports import Clock

# Seconds for which a 401 is remembered.
REFUSED_FOR: Final = 10.0
_MOST_CREDENTIALS: Final = 10_000


class Credentials:
    """Knows which credentials of callers the upstream has accepted, and which it has refused. For
    REFUSED_FOR seconds after a refusal, no call is made with the refused credential."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # By partition: the time of the last refusal (monotonic).
        self._refused: TTLCache[str, float] = TTLCache(
            _MOST_CREDENTIALS, REFUSED_FOR, clock.monotonic
        )
        # By partition of an accepted credential: whether the list was not refused to it.
        self._accepted: FIFOCache[str, bool] = FIFOCache(_MOST_CREDENTIALS)

    def has_accepted(self, partition: str) -> bool:
        """Whether the upstream has accepted the credential, and did not refuse the list since."""
        return self._accepted.get(partition, False)

    def bar(self, partition: str) -> None:
        """Note that the upstream refused the list to this credential."""
        self._accepted[partition] = False

    def turn_away(self, partition: str) -> None:
        """Raise AccessRefused if the upstream has refused the credential lately."""
        if partition in self._refused:
            raise AccessRefused(AccessRefusal.UPSTREAM_UNAUTHORIZED)

    def judged(self, caller: Caller, status: int, sent_at: float) -> None:
        """Note the status of the API's answer to a call that was sent at `sent_at` (monotonic). A
        call that was sent before the last refusal does not cancel the refusal."""
        if not caller.owns_token:
            return
        if status == 401:
            self.refuse(caller.partition)
        elif sent_at >= self._refused.get(caller.partition, sent_at):
            self._refused.pop(caller.partition, None)
            if status != 403:
                self._accepted[caller.partition] = self._accepted.get(caller.partition, True)

    def refuse(self, partition: str) -> None:
        """Note that the upstream answered 401 to this credential, here or in another replica."""
        self._refused[partition] = self._clock.monotonic()
        self._accepted.pop(partition, None)
