"""Misses that wait for the first sweep of their partition, because one call of the sweep brings a
hundred trainings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Final

from cachetools import FIFOCache

from gateway.core.access.caller import Caller
from gateway.core.errors import BudgetExhausted
from gateway.core.vocabulary import Purpose
from gateway.ports import Budget, Observer

_MOST: Final = 10_000


class ColdStart:
    """Lets the misses of a partition wait until it is known whether a sweep fills its empty cache,
    and until that sweep has ended, but for `patience` seconds at most.

    After that a miss makes a call of its own. But while fewer than a tenth of the calls are free,
    the sweep gets them, because one of its calls brings a hundred trainings: the miss waits for
    half of `patience` more, and is refused then.

    A sweep with a caller's own token begins when the API has accepted the token. So the first miss
    of such a partition is fetched at once, to test the token, and the others wait for its answer.

    has_accepted  returns whether the API has accepted the token of a partition. None: no sweep
                  fills a cache, so no miss waits
    """

    def __init__(
        self,
        patience: float,
        budget: Budget,
        observer: Observer,
        has_accepted: Callable[[str], bool] | None = None,
    ) -> None:
        self._patience = patience
        self._budget = budget
        self._observer = observer
        self._has_accepted = has_accepted
        self._waiting: dict[str, asyncio.Event] = {}  # by partition
        self._tested: set[str] = set()  # partitions whose token is being tested
        self._decided: FIFOCache[str, None] = FIFOCache(_MOST)

    def note(self, partition: str, *, is_filling: bool) -> None:
        """Note whether a sweep is filling the empty cache of the partition."""
        if is_filling:
            self._waiting.setdefault(partition, asyncio.Event())
            return
        self._decided[partition] = None
        self._release(partition)

    def release_others(self, swept: Collection[str]) -> None:
        """Note that only these partitions have a sweep."""
        for each in self._waiting.keys() - self._tested - set(swept):
            self.note(each, is_filling=False)

    @asynccontextmanager
    async def before(self, caller: Caller) -> AsyncIterator[None]:
        """Let a miss of this caller wait. Its fetch runs inside the block. Raises
        BudgetExhausted."""
        partition = caller.partition
        is_known = partition in self._waiting or partition in self._decided
        if not is_known and self._has_accepted is not None:
            self._waiting[partition] = asyncio.Event()
            if caller.owns_token and not self._has_accepted(partition):
                async with self._test(partition):
                    yield
                return
        filling = self._waiting.get(partition)
        if filling is not None:
            await self._wait(filling, caller.scope)
        yield

    async def _wait(self, filling: asyncio.Event, scope: str) -> None:
        for patience in (self._patience, self._patience / 2.0):
            with suppress(TimeoutError):
                await asyncio.wait_for(filling.wait(), patience)
            view = self._budget.view(scope)
            free = inf if view.available is None else view.available
            if filling.is_set() or free >= max(1, (view.limit or 0) // 10):
                return
        self._observer.budget_denied(Purpose.MISS, self._patience)
        raise BudgetExhausted.of(view.limit, view.window, retry_after=self._patience)

    @asynccontextmanager
    async def _test(self, partition: str) -> AsyncIterator[None]:
        self._tested.add(partition)
        try:
            yield
        finally:
            self._tested.discard(partition)
            if self._has_accepted is not None and not self._has_accepted(partition):
                self._release(partition)

    def _release(self, partition: str) -> None:
        if partition in self._waiting:
            self._waiting.pop(partition).set()
