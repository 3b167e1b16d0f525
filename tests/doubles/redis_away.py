"""Redis that can go away and come back: a SharedStore and a Budget with a switch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gateway.adapters.ledger import LocalBudget
from gateway.core.budget.window_log import Start
from gateway.core.cache.entry import Entry, FetchStart, Key
from gateway.core.cache.marks import Facts, Version
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.ports import (
    BudgetView,
    Charge,
    Clock,
    Closed,
    Found,
    ModeOrder,
    SharedStore,
    Stored,
)
from tests.doubles.budgets import rules_of


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

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Found]:
        self._switch.pass_on("confirm")
        self.confirmed.append(len(keys))
        found = await self._store.confirm(keys)
        await self._switch.come_back()
        return found

    async def begin(self, key: Key) -> FetchStart:
        self._switch.pass_on("begin")
        return await self._store.begin(key)

    async def store(
        self, key: Key, facts: Facts, entry: Entry | None, keep: float, *, is_item: bool = False
    ) -> Stored:
        self._switch.pass_on("store")
        return await self._store.store(key, facts, entry, keep, is_item=is_item)

    async def order(
        self, training_id: str | None, partition: str | None, version: Version, *, is_hard: bool
    ) -> bool:
        self._switch.pass_on("order")
        return await self._store.order(training_id, partition, version, is_hard=is_hard)


class CommonBudget:
    """What Redis hands out to all replicas: one log and one gate in memory."""

    def __init__(self, clock: Clock, limit: int | None = None) -> None:
        self._clock = clock
        self.budget = LocalBudget(clock, rules_of(limit, start=Start.FULL))

    def lose(self, fresh: LocalBudget | None = None) -> None:
        """Redis comes back empty."""
        self.budget = fresh or LocalBudget(self._clock, rules_of(None))

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        return await self.budget.take(scope, purpose)

    def view(self, scope: str) -> BudgetView:
        return self.budget.view(scope)


class SwitchedBudget:
    """The budget of one replica: as RedisBudget, but without its rules for a Redis that lost its
    data or whose clock was changed."""

    def __init__(self, common: CommonBudget, switch: Switch, reserve: LocalBudget) -> None:
        self._common = common
        self._switch = switch
        self._reserve = reserve

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        wait = self._reserve.view(scope).gate_closed_for
        if wait > 0.0:
            raise GateClosed.of(retry_after=wait)
        try:
            self._switch.pass_on("budget")
            return await self._common.take(scope, purpose)
        except RedisUnavailable:
            return await self._from_reserve(scope, purpose)
        except GateClosed as closed:
            if not closed.is_passing:
                self._reserve.hold(scope, closed.retry_after)
            raise

    async def _from_reserve(self, scope: str, purpose: Purpose) -> Charge:
        try:
            return await self._reserve.take(scope, purpose)
        except BudgetExhausted as exhausted:
            exhausted.is_passing = True
            raise

    async def give_back(self, scope: str, charge: Charge) -> None:
        budget = self._reserve if charge.is_reserve else self._common.budget
        if charge.is_reserve or self._switch.is_up:
            await budget.give_back(scope, charge)

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        own = await self._reserve.close(scope, retry_after)
        if not self._switch.is_up:
            return Closed(own.seconds, None)
        closed = await self._common.budget.close(scope, own.seconds)
        self._reserve.hold(scope, closed.seconds)
        return closed

    def hold(self, scope: str, seconds: float) -> None:
        self._reserve.hold(scope, seconds)

    async def reopen(self, scope: str) -> bool:
        opened = await self._reserve.reopen(scope)
        if not self._switch.is_up:
            return opened
        return await self._common.budget.reopen(scope) or opened

    def view(self, scope: str) -> BudgetView:
        own, common = self._reserve.view(scope), self._common.budget.view(scope)
        available = common.available if self._switch.is_up else own.available
        return replace(common, available=available, gate_closed_for=own.gate_closed_for)


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
