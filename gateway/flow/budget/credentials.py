"""Callers' own credentials, as the upstream took them: accepted, refused lately, or unknown.

What is not accepted yet shares a small budget, so that guessing tokens costs the others next
to nothing; what was refused is not asked about again for a while. Nothing here knows a
credential, only the partition that it makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from cachetools import FIFOCache

from gateway.core.access.caller import Caller
from gateway.core.budget.rates import NEWCOMERS
from gateway.core.errors import AccessRefused, BudgetExhausted, CallWithheld
from gateway.core.vocabulary import AccessRefusal, Purpose
from gateway.ports import Budget, Charge, Clock, Observer

# Seconds for which a 401 is remembered.
REFUSED_FOR: Final = 10.0
_MOST: Final = 10_000


class Credentials:
    """What is known of credentials in this replica; of the latest ones, where there are many."""

    def __init__(self, budget: Budget, clock: Clock, observer: Observer) -> None:
        self._budget = budget
        self._clock = clock
        self._observer = observer
        self._accepted: FIFOCache[str, None] = FIFOCache(_MOST)
        self._refused: FIFOCache[str, float] = FIFOCache(_MOST)
        self._asking: dict[str, asyncio.Event] = {}

    def turn_away(self, partition: str) -> None:
        """Raise AccessRefused where the upstream refused the credential just now."""
        refused_at = self._refused.get(partition)
        if refused_at is None:
            return
        if self._clock.monotonic() - refused_at < REFUSED_FOR:
            self._observer.access_refused(AccessRefusal.UPSTREAM_UNAUTHORIZED)
            raise AccessRefused(AccessRefusal.UPSTREAM_UNAUTHORIZED)
        del self._refused[partition]

    def judged(self, caller: Caller, status: int, sent_at: float) -> None:
        """The API answered a call of this caller that was sent at `sent_at` (monotonic)."""
        if not caller.owns_token:
            return
        if status == 401:
            self.refuse(caller.partition)
        else:
            self._accept(caller.partition, sent_at)

    def _accept(self, partition: str, since: float) -> None:
        if since >= self._refused.get(partition, since):
            self._refused.pop(partition, None)
            self._accepted[partition] = None

    def refuse(self, partition: str) -> None:
        """The upstream said 401, to this replica or to another."""
        self._accepted.pop(partition, None)
        self._refused[partition] = self._clock.monotonic()

    @asynccontextmanager
    async def vouched(
        self, caller: Caller, purpose: Purpose, *, known: bool
    ) -> AsyncIterator[None]:
        """Make a call inside; raises AccessRefused, BudgetExhausted where it may not go.

        `known`: something is stored for the credential, so it was accepted before.
        """
        partition = caller.partition
        if known or not caller.owns_token or partition in self._accepted:
            yield
            return
        charge = await self._take(partition, purpose)
        asked = self._asking.setdefault(partition, asyncio.Event())
        try:
            yield
        except CallWithheld:
            if charge is not None:
                await self._budget.give_back(NEWCOMERS, charge)
            raise
        finally:
            asked.set()
            if self._asking.get(partition) is asked:
                del self._asking[partition]

    async def _take(self, partition: str, purpose: Purpose) -> Charge | None:
        try:
            return await self._budget.take(NEWCOMERS, purpose)
        except BudgetExhausted as exhausted:
            asked = self._asking.get(partition)
            if asked is not None:
                await asked.wait()  # of the same credential, and that call has its deadline
                self.turn_away(partition)
                if partition in self._accepted:
                    return None
            self._observer.budget_denied(purpose, exhausted.retry_after)
            raise
