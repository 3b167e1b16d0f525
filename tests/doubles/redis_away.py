"""Redis that can go away and come back: a SharedStore and a Budget with a switch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.adapters.ledger import LocalBudget
from gateway.core.budget.priority import Rank
from gateway.core.cache.entry import Entry, Key, Ticket
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.ports import (
    BudgetQuestion,
    BudgetReply,
    BudgetView,
    BudgetWord,
    Charge,
    Clock,
    Closed,
    Found,
    ModeOrder,
    SharedStore,
    Standing,
    Stored,
)


class Switch:
    """Whether Redis is there; both wrappers of one Redis share it.

    `hold` lets calls wait on their way to it and back, until `release`.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.refused = 0
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        """Let calls wait, those that begin from now on."""
        self._open = asyncio.Event()

    def release(self) -> None:
        """Let the waiting calls through."""
        self._open.set()

    async def come_back(self) -> None:
        """What an answer waits for on its way."""
        await self._open.wait()

    def pass_on(self, operation: str) -> None:
        """Raise RedisUnavailable while it is away."""
        if not self.is_up:
            self.refused += 1
            raise RedisUnavailable(operation, "it is away")


class SwitchedStore:
    """The store behind the switch."""

    def __init__(self, store: SharedStore, switch: Switch) -> None:
        self._store = store
        self._switch = switch
        self.lookups = 0
        self.confirmed: list[int] = []  # keys of each question

    @property
    def is_up(self) -> bool:
        return self._switch.is_up

    @property
    def holds_bodies(self) -> bool:
        return self._store.holds_bodies

    async def lookup(self, key: Key) -> Found:
        self._switch.pass_on("lookup")
        self.lookups += 1
        found = await self._store.lookup(key)
        await self._switch.come_back()
        return found

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        self._switch.pass_on("confirm")
        self.confirmed.append(len(keys))
        standings = await self._store.confirm(keys)
        await self._switch.come_back()
        return standings

    async def begin(self, key: Key) -> Ticket:
        self._switch.pass_on("begin")
        return await self._store.begin(key)

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        self._switch.pass_on("store")
        return await self._store.store(key, entry, keep)

    async def drop(self, key: Key) -> None:
        self._switch.pass_on("drop")
        await self._store.drop(key)

    async def invalidate(
        self, training_id: str, updated_at: int | None, *, soft: bool = False
    ) -> None:
        self._switch.pass_on("invalidate")
        await self._store.invalidate(training_id, updated_at, soft=soft)

    async def invalidate_key(self, key: Key, updated_at: int | None) -> None:
        self._switch.pass_on("invalidate_key")
        await self._store.invalidate_key(key, updated_at)

    async def invalidate_partition(self, partition: str) -> None:
        self._switch.pass_on("invalidate_partition")
        await self._store.invalidate_partition(partition)

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        self._switch.pass_on("purge")
        return await self._store.purge(partition, soft=soft)


_PURPOSES = {Rank.CALLER: Purpose.MISS, Rank.REFRESH: Purpose.REFRESH, Rank.SWEEP: Purpose.SWEEP}


class SwitchedBudget:
    """What Redis hands out to all replicas, behind the switch: one log and one gate in memory."""

    def __init__(self, budget: LocalBudget, switch: Switch, clock: Clock) -> None:
        self._budget = budget
        self._switch = switch
        self._clock = clock
        self._life = 1
        self._charges: dict[str, Charge] = {}

    @property
    def is_up(self) -> bool:
        return self._switch.is_up

    def lose(self, fresh: LocalBudget) -> None:
        """Redis comes back empty."""
        self._budget = fresh
        self._life += 1

    def spend(self, scope: str, calls: int) -> None:
        """Others make so many calls now."""
        log = self._budget._account(scope).log
        assert log is not None, "an unlimited budget is not spent"
        for number in range(calls):
            log.take(f"other-{number}", Rank.CALLER, self._clock.monotonic())

    async def ask(self, question: BudgetQuestion) -> BudgetReply:
        self._switch.pass_on("budget")
        assert question.rank is not None
        try:
            charge = await self._budget.take(question.scope, _PURPOSES[question.rank])
        except BudgetExhausted as exhausted:
            return self._reply(BudgetWord.NO, exhausted.retry_after)
        except GateClosed as closed:
            return self._reply(BudgetWord.GATE, closed.retry_after, is_probed=closed.is_probed)
        self._charges[question.call] = charge
        return self._reply(BudgetWord.OK, 0.0)

    async def look(self, questions: Sequence[BudgetQuestion]) -> list[BudgetReply]:
        self._switch.pass_on("budget")
        return [self._reply(BudgetWord.OK, 0.0) for _ in questions]

    def _reply(self, word: BudgetWord, wait: float, *, is_probed: bool = False) -> BudgetReply:
        now = self._clock.monotonic()
        return BudgetReply(word, wait, f"life-{self._life}", now, is_probed)

    async def give_back(self, scope: str, call: str) -> None:
        self._switch.pass_on("budget")
        charge = self._charges.pop(call, None)
        if charge is not None:
            await self._budget.give_back(scope, charge)

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        self._switch.pass_on("budget")
        return await self._budget.close(scope, retry_after)

    async def reopen(self, scope: str) -> bool:
        self._switch.pass_on("budget")
        return await self._budget.reopen(scope)

    def view(self, scope: str) -> BudgetView:
        return self._budget.view(scope)


class SwitchedMode:
    """The mode of all replicas, behind the switch."""

    def __init__(self, switch: Switch) -> None:
        self.ordered: ModeOrder | None = None
        self._switch = switch

    async def read(self) -> ModeOrder | None:
        self._switch.pass_on("mode")
        return self.ordered

    async def write(self, order: ModeOrder) -> None:
        self._switch.pass_on("mode")
        self.ordered = order
