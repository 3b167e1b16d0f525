"""Redis that can go away and come back: a SharedStore and a Budget with a switch."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.adapters.ledger import LocalBudget
from gateway.core.budget.priority import Rank
from gateway.core.cache.entry import Entry, Key, Ticket
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.ports import (
    BudgetView,
    Charge,
    Clock,
    Closed,
    Found,
    KnownBudget,
    Looking,
    ModeOrder,
    SharedStore,
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


class SwitchedBudget:
    """The budget of all replicas, behind the switch: one log, and who has looked at it lately."""

    silence = 1.5

    def __init__(self, budget: LocalBudget, switch: Switch, clock: Clock) -> None:
        self._budget = budget
        self._switch = switch
        self._clock = clock
        self._life = 1
        self._expected = 0
        self._since = -math.inf
        self._seen: dict[str, float] = {}
        # The claim of each replica, and the time of the look whose reply had it. The reply may be
        # lost, so this is the larger of the old and the new claim until the replica has seen it.
        self._claims: dict[str, tuple[float, int]] = {}
        self._parts: dict[str, int] = {}

    def is_there(self, _scope: str) -> bool:
        return self._switch.is_up

    def lose(self, fresh: LocalBudget) -> None:
        """Redis comes back empty: nothing of what was known."""
        self._budget = fresh
        self._life += 1
        self._expected, self._since = 0, self._clock.monotonic()
        self._seen.clear()
        self._claims.clear()
        self._parts.clear()

    async def take(
        self,
        scope: str,
        purpose: Purpose,
        known: KnownBudget | None,
        *,
        patience: float = 0.0,
        name: str = "",
    ) -> Charge | None:
        self._switch.pass_on("budget")
        view, now = self._budget.view(scope), self._clock.monotonic()
        if view.limit is not None and view.gate_closed_for <= 0.0:
            if known is None or known.life != self._life or now - known.at > self.silence:
                return None
            self._seen[name] = max(known.at, self._seen.get(name, 0.0))
            if len(self._seen) < self._expected and now < self._since + view.window:
                raise GateClosed("forgotten", retry_after=1.0, is_probed=True)
            told, claim = self._claims.get(name, (-math.inf, 0))
            unseen = claim if told != known.at else 0
            kept = min(view.limit - 1, self._kept(view.limit, name) + unseen)
            if 0 < kept >= (view.available or 0):
                raise BudgetExhausted.of(view.limit, view.window, retry_after=1.0)
        charge = await self._budget.take(scope, purpose, patience=patience)
        told, claim = self._claims.get(name, (-math.inf, 0))
        if known is not None and told == known.at:
            self._claims[name] = told, max(0, claim - 1)
        return charge

    def _kept(self, limit: int, name: str) -> int:
        silent = self._silent(name)
        heard = [each for each in self._seen if each != name and each not in silent]
        kept = self._kept_for(silent, limit)
        return min(limit - 1, kept + sum(self._claims[each][1] for each in heard))

    def _kept_for(self, silent: Sequence[str], limit: int) -> int:
        equal = limit // max(1, len(self._seen))
        return min(limit - equal, sum(self._parts.get(each, 0) for each in silent))

    def _silent(self, name: str) -> list[str]:
        now = self._clock.monotonic()
        others = self._seen.items()
        return [each for each, seen in others if each != name and now - seen > self.silence]

    def spend(self, scope: str, calls: int) -> None:
        """Others make so many calls now."""
        log = self._budget._account(scope).log
        assert log is not None, "an unlimited budget is not spent"
        for _ in range(calls):
            log._charge(self._clock.monotonic(), Rank.CALLER)

    async def look(self, asked: Sequence[Looking], name: str = "") -> list[KnownBudget]:
        self._switch.pass_on("budget")
        return [self._look(each, name) for each in asked]

    def _look(self, look: Looking, name: str) -> KnownBudget:
        log, now = self._budget._account(look.scope).log, self._clock.monotonic()
        assert log is not None, "an unlimited budget is not looked at"
        part = claim = 0
        if look.known is not None and look.known.life == self._life:
            for each in (*look.untold, *look.made):
                log._charge(now - each.age, Rank.CALLER)
            self._seen[name] = look.known.at
            limit, unheard = log.limit(now), self._silent(name)
            heard = [each for each in self._parts if each != name and each not in unheard]
            others = sum(self._parts[each] for each in heard) + self._kept_for(unheard, limit)
            part = min(limit // len(self._seen), max(limit - others, look.known.part))
            told, has = self._claims.get(name, (-math.inf, 0))
            had = self._parts.get(name, 0)
            if told == look.known.at:
                has = had = 0
            self._parts[name] = max(part, look.known.part, had)
            free = max(0, log.available(now) - self._kept(log.limit(now), name))
            claim = min(free, log.available(now) // (2 * len(self._seen)), part)
            self._claims[name] = now, max(claim, look.claim, has)
        elif look.known is not None:
            self._expected = max(self._expected, look.known.replicas)
        ages = [now - at for at in log.times if at > now - log._window]
        replicas = max(1, len(self._seen), self._expected)
        limit = log.limit(now)
        parts = (claim, part, part)
        return KnownBudget(self._life, 0, now, 0.0, replicas, limit, *parts, ages)

    async def leave(self, scopes: Sequence[str], name: str = "") -> None:
        self._switch.pass_on("budget")
        self._seen.pop(name, None)
        self._parts.pop(name, None)

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        self._switch.pass_on("budget")
        return await self._budget.enter(scope, charge)

    async def give_back(self, scope: str, charge: Charge) -> None:
        self._switch.pass_on("budget")
        await self._budget.give_back(scope, charge)

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        self._switch.pass_on("budget")
        return await self._budget.close(scope, retry_after)

    async def reopen(self, scope: str) -> bool:
        self._switch.pass_on("budget")
        return await self._budget.reopen(scope)

    def view(self, scope: str) -> BudgetView:
        replicas = max(1, len(self._seen), self._expected)
        return replace(self._budget.view(scope), replicas=replicas)


class BudgetOf:
    """The budget of all, as one replica has it."""

    def __init__(self, budget: SwitchedBudget, name: str) -> None:
        self._budget = budget
        self.silence = budget.silence
        self.take = lambda *given, **named: budget.take(*given, **named, name=name)
        self.look = lambda asked: budget.look(asked, name)
        self.leave = lambda scopes: budget.leave(scopes, name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._budget, name)


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
