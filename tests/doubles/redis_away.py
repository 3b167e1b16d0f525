"""Redis that can go away and come back: a SharedStore and a Budget with a switch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.core.entry import Entry, Key, Ticket
from gateway.core.errors import RedisUnavailable
from gateway.core.hints import Stated
from gateway.core.status import Mode, Purpose
from gateway.ports import (
    Budget,
    BudgetView,
    Charge,
    Copies,
    Found,
    SharedStore,
    Spent,
    Standing,
    Stored,
)


class Switch:
    """Whether Redis is there; both wrappers of one Redis share it.

    `away` are trainings whose node alone is not there. `hold` lets calls wait on their way to it
    and back, until `release`.
    """

    def __init__(self) -> None:
        self.is_up = True
        self.away: set[str] = set()
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
        return self._switch.is_up and not self._switch.away

    def reaches(self, key: Key) -> bool:
        return self._switch.is_up and key.training_id not in self._switch.away

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
        keys = [key for key in keys if self.reaches(key)]
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

    async def invalidate(self, training_id: str, updated_at: int | None) -> None:
        self._switch.pass_on("invalidate")
        await self._store.invalidate(training_id, updated_at)

    async def strike(self, partition: str) -> None:
        self._switch.pass_on("strike")
        await self._store.strike(partition)

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        self._switch.pass_on("purge")
        return await self._store.purge(partition, soft=soft)

    async def secure(self, patience: float) -> Copies | None:
        self._switch.pass_on("secure")
        return await self._store.secure(patience)


class SwitchedBudget:
    """The budget behind the switch."""

    def __init__(self, budget: Budget, switch: Switch) -> None:
        self._budget = budget
        self._switch = switch

    def lose(self, fresh: Budget) -> None:
        """Redis comes back empty: nothing of what was known."""
        self._budget = fresh

    async def take(
        self, scope: str, purpose: Purpose, *, guessed: bool = False, patience: float = 0.0
    ) -> Charge:
        self._switch.pass_on("budget")
        return await self._budget.take(scope, purpose, guessed=guessed, patience=patience)

    async def pass_gate(self, scope: str) -> Charge:
        self._switch.pass_on("budget")
        return await self._budget.pass_gate(scope)

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        self._switch.pass_on("budget")
        return await self._budget.enter(scope, charge)

    async def give_back(self, scope: str, charge: Charge) -> None:
        self._switch.pass_on("budget")
        await self._budget.give_back(scope, charge)

    async def close(
        self, scope: str, retry_after: float | None, *, is_refusal: bool = True
    ) -> float:
        self._switch.pass_on("budget")
        return await self._budget.close(scope, retry_after, is_refusal=is_refusal)

    async def learn(self, scope: str, said: Stated) -> None:
        self._switch.pass_on("budget")
        await self._budget.learn(scope, said)

    async def look(self, scope: str) -> Spent:
        self._switch.pass_on("budget")
        return await self._budget.look(scope)

    async def hand_in(
        self, scope: str, ages: Sequence[float], known: Sequence[float] | None = None
    ) -> None:
        self._switch.pass_on("budget")
        await self._budget.hand_in(scope, ages, known)

    async def reopen(self, scope: str) -> bool:
        self._switch.pass_on("budget")
        return await self._budget.reopen(scope)

    def view(self, scope: str) -> BudgetView:
        return self._budget.view(scope)


class SwitchedMode:
    """The mode of all replicas, behind the switch."""

    def __init__(self, switch: Switch) -> None:
        self.ordered: Mode | None = None
        self._switch = switch

    async def read(self) -> Mode | None:
        self._switch.pass_on("mode")
        return self.ordered

    async def write(self, mode: Mode) -> None:
        self._switch.pass_on("mode")
        self.ordered = mode
