"""Replicas, their Redis and the API in virtual time: how many calls the API sees in a window.

The code of the budget is the real one: `RedisBudget`, `LocalBudget`, and the
scripts in a real Redis. What is simulated is time, the ways between the parts, and what happens to
each of them. A rule can be switched off (`without`).
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.adapters.ledger import LocalBudget
from gateway.adapters.redis.budget import RedisBudget
from gateway.adapters.redis.connect.script import Script
from gateway.core.budget.window_log import BudgetRules, Rate, Rates, Start
from gateway.core.errors import CallWithheld, RedisUnavailable
from gateway.core.vocabulary import Purpose, RedisOperation
from tests.doubles.timed_redis import TimedRedis
from tests.doubles.virtual_time import VirtualClock, in_virtual_time

_TIMEOUT: Final = 0.05
_PREFIX: Final = "simulated"
_PURPOSES: Final = (Purpose.MISS, Purpose.MISS, Purpose.REFRESH, Purpose.SWEEP)


class Fault(StrEnum):
    """What happens, to Redis or to a replica."""

    NONE = "none"
    KILLED = "killed"  # Redis does not come back
    HUNG = "hung"
    SLOW = "slow"
    RESTARTED = "restarted"  # with its data
    EMPTY = "empty"  # restarted without its data
    FLUSHED = "flushed"
    FAILED_OVER = "failed-over"  # without the writes of the last second
    EVICTED_LOG = "evicted-log"
    EVICTED_STATE = "evicted-state"
    EVICTED_ALL = "evicted-all"  # the state and the log: nobody is left who knew
    EVICTED_LIFE = "evicted-life"
    AHEAD_1 = "+1"  # the clock of Redis is set
    AHEAD_3 = "+3"
    AHEAD_10 = "+10"
    BEHIND_1 = "-1"
    BEHIND_3 = "-3"
    BEHIND_10 = "-10"
    CUT = "cut"  # nothing comes back from Redis to one replica
    REFUSED = "refused"  # one replica has no connection
    REPLACED = "replaced"  # one replica ends, and another one starts
    NEW_AND_EMPTY = "new-and-empty"  # Redis is emptied when another replica takes one's place
    JOINED = "joined"
    STOPPED = "stopped"  # one replica stands still for two seconds
    RATE_LIMITED = "429"


_LOSES: Final = {
    Fault.FLUSHED: "*",
    Fault.EVICTED_LOG: "*:calls:*",
    Fault.EVICTED_STATE: "*:state:*",
    Fault.EVICTED_ALL: "*{budget}:[^l]*",
    Fault.EVICTED_LIFE: "*:life",
}


class SimulatedRedis(TimedRedis):
    """A Redis that hangs, loses data, and has a clock of its own."""

    def __init__(self, url: str, edit: Callable[[str], str]) -> None:
        super().__init__(url, self._own_time, edit)
        self.ahead, self.is_up = 0.0, True
        self.until = 0.0  # it hangs until this time
        self._saved: list[dict[Any, Any]] = []

    def _own_time(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead + VirtualClock.offset

    def save(self) -> None:
        """Remember the data, for a failover. This is called ten times a second."""
        data = {key: self.client.dump(key) for key in self.client.keys("*")}
        self._saved = [*self._saved[-10:], data]

    def fail_over(self) -> None:
        """Continue with the data of a second ago."""
        self.client.flushdb()
        for key, value in self._saved[0].items():
            self.client.restore(key, 0, value)
        self.new_server()


class Way:
    """The way of one replica to Redis: in the place of `Connection`."""

    def __init__(self, server: SimulatedRedis, chance: random.Random) -> None:
        self._server = server
        self._chance = chance
        self._failures, self._away_until = 0, 0.0
        self.delay = 0.0005, 0.002
        self.is_cut = self.is_refused = False

    @property
    def is_up(self) -> bool:
        return asyncio.get_running_loop().time() >= self._away_until

    async def run_script(
        self,
        _operation: RedisOperation,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[object],
        read: Callable[[list[Any]], Any],
    ) -> Any:
        if not self.is_up:
            raise RedisUnavailable(RedisOperation.BUDGET, "it is away")
        if self.is_refused or not self._server.is_up:
            raise self._failed()
        # A question that was sent arrives, even if nobody waits for the answer any more.
        asked = asyncio.ensure_future(self._ask(script, keys, arguments))
        done, _ = await asyncio.wait({asked}, timeout=_TIMEOUT)
        if not done:
            raise self._failed()
        self._failures = 0
        return read(asked.result())

    async def _ask(
        self, script: Script, keys: Sequence[str], arguments: Sequence[object]
    ) -> list[Any]:
        await asyncio.sleep(self._chance.uniform(*self.delay))
        loop = asyncio.get_running_loop()
        if loop.time() < self._server.until:
            await asyncio.sleep(self._server.until - loop.time() + self._chance.random() / 100)
        if not self._server.is_up:
            await asyncio.sleep(_TIMEOUT)
            return []
        reply = self._server.run(script, keys, arguments)
        await asyncio.sleep(_TIMEOUT if self.is_cut else self._chance.uniform(*self.delay))
        return reply

    def _failed(self) -> RedisUnavailable:
        self._failures += 1
        if self._failures >= 3:
            self._away_until = asyncio.get_running_loop().time() + 0.5
        return RedisUnavailable(RedisOperation.BUDGET, "no answer in time")


@dataclass(slots=True)
class Figures:
    """The most calls in any window, of any tenant, and all calls."""

    fullest: int = 0
    calls: int = 0


@dataclass(slots=True)
class Replica:
    """One replica, and what it is doing."""

    budget: RedisBudget
    way: Way
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    stopped_until: float = 0.0

    async def end(self) -> None:
        """End it as SIGKILL does."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Run:
    """One simulated run."""

    def __init__(
        self, url: str, seed: int, rate: Rate, replicas: int, edit: Callable[[str], str]
    ) -> None:
        self.chance = random.Random(seed)
        self.rate, self.most = rate, replicas
        self.clock = VirtualClock(self.chance)
        self.redis = SimulatedRedis(url, edit)
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self.figures = Figures()
        self.replicas: list[Replica] = []
        self.tenants = [f"t{number}" for number in range(self.chance.choice((1, 1, 2)))]
        self.is_limiting = False
        self._names = 0

    def start(self) -> Replica:
        """Start another replica."""
        self._names += 1
        start = Start.PACED if self.chance.random() < 0.7 else Start.FULL
        rules = BudgetRules(Rates(self.rate), replicas=self.most, start=start)
        way: Any = Way(self.redis, random.Random(self.chance.random()))
        clock = VirtualClock(random.Random(self.chance.random()))
        name = f"r{self._names}"
        own = LocalBudget(clock, rules, is_reserve=True)
        budget = RedisBudget(
            *(way, _PREFIX, clock, rules, own), name=name, scopes=lambda: self.tenants
        )
        replica = Replica(budget, way)
        works = [budget.run(), *(self._call(replica, each) for each in self.tenants * 3)]
        replica.tasks = [asyncio.ensure_future(each) for each in works]
        self.replicas.append(replica)
        return replica

    async def _call(self, replica: Replica, tenant: str) -> None:
        """Make calls, as many as the budget grants."""
        while True:
            try:
                paid = await replica.budget.take(tenant, self.chance.choice(_PURPOSES))
            except CallWithheld as withheld:
                longest = min(0.4, withheld.retry_after)
                await asyncio.sleep(0.02 + self.chance.uniform(0.0, longest))
                continue
            await self._hold(replica)
            if paid.is_late(self.clock.monotonic()):
                await replica.budget.give_back(tenant, paid)
                continue
            if self.chance.random() < 0.02:  # no connection
                await replica.budget.give_back(tenant, paid)
                continue
            await self._arrive(replica, tenant)

    async def _hold(self, replica: Replica) -> None:
        """The call waits for its connection, or the replica stands still."""
        now = self.clock.monotonic()
        if now < replica.stopped_until:
            await asyncio.sleep(replica.stopped_until - now)
        elif self.chance.random() < 0.1:
            await asyncio.sleep(self.chance.uniform(0.0, 0.4))

    async def _arrive(self, replica: Replica, tenant: str) -> None:
        sent = self.clock.monotonic()
        self.arrivals[tenant].append(
            sent + self.chance.choice((0.0, 0.0, 0.2)) * self.chance.random()
        )
        self.figures.calls += 1
        await asyncio.sleep(0.05)
        if self.is_limiting and self.chance.random() < 0.3:
            await replica.budget.close(tenant, self.chance.choice((None, 1.0, 3.0)))
        else:
            await replica.budget.reopen(tenant)

    async def meet(self, fault: Fault) -> None:
        """Let it happen."""
        if fault in _LOSES:
            self.redis.lose(_LOSES[fault])
        elif fault[0] in "+-":
            self.redis.ahead += float(fault)
        elif fault in (Fault.RESTARTED, Fault.EMPTY):
            await self._restart(fault)
        elif fault in (Fault.REPLACED, Fault.NEW_AND_EMPTY):
            await self._replace()
            self.redis.lose("*" if fault is Fault.NEW_AND_EMPTY else "nothing")
        elif fault in (Fault.CUT, Fault.REFUSED):
            one = self.chance.choice(self.replicas)
            setattr(one.way, f"is_{fault}", True)
            await asyncio.sleep(self.chance.uniform(0.1, 2.0) * self.rate.window)
            setattr(one.way, f"is_{fault}", False)
        else:
            await self._meet_other(fault)

    async def _replace(self) -> None:
        one = self.chance.choice(self.replicas)
        self.replicas.remove(one)
        await one.end()
        self.start()

    async def _restart(self, fault: Fault) -> None:
        self.redis.is_up = False
        await asyncio.sleep(self.chance.uniform(0.0, self.rate.window))
        self.redis.new_server()
        if fault is Fault.EMPTY:
            self.redis.lose("*")
        self.redis.is_up = True

    async def _meet_other(self, fault: Fault) -> None:
        one, now = self.chance.choice(self.replicas), self.clock.monotonic()
        match fault:
            case Fault.KILLED:
                self.redis.is_up = False
            case Fault.HUNG:
                self.redis.until = now + self.chance.uniform(0.05, 2.0 * self.rate.window)
            case Fault.SLOW:
                for each in self.replicas:
                    each.way.delay = 0.005, 0.03
            case Fault.FAILED_OVER:
                self.redis.fail_over()
            case Fault.JOINED if len(self.replicas) < self.most:
                self.start()
            case Fault.STOPPED:
                one.stopped_until = now + 2.0
            case Fault.RATE_LIMITED:
                self.is_limiting = True
                await asyncio.sleep(self.rate.window)
                self.is_limiting = False

    async def go(self, faults: Sequence[Fault]) -> Figures:
        """Run with these faults, one after another."""
        window = self.rate.window
        # If one is replaced when Redis is emptied, another one is left that knows the calls.
        fewest = 2 if Fault.NEW_AND_EMPTY in faults else 1
        for _ in range(max(fewest, self.most - 1)):
            self.start()
        saving = asyncio.ensure_future(self._save(Fault.FAILED_OVER in faults))
        await asyncio.sleep(self.chance.uniform(1.2, 2.5) * (window + 0.5) + 1.0)
        for fault in faults:
            await self.meet(fault)
            await asyncio.sleep(self.chance.uniform(0.0, 0.7) * window)
        await asyncio.sleep(2.2 * window)
        for replica in self.replicas:
            await replica.end()
        saving.cancel()
        self.redis.client.close()
        self.figures.fullest = max(
            (_fullest(each, window) for each in self.arrivals.values()), default=0
        )
        return self.figures

    async def _save(self, is_needed: bool) -> None:
        while is_needed:
            self.redis.save()
            await asyncio.sleep(0.1)


def _fullest(arrivals: list[float], window: float) -> int:
    times, fullest, first = sorted(arrivals), 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - window:
            first += 1
        fullest = max(fullest, last - first + 1)
    return fullest


def simulate(
    url: str,
    seed: int,
    faults: Sequence[Fault],
    *,
    rate: Rate | None = None,
    replicas: int = 0,
    edit: Callable[[str], str] = str,
) -> tuple[Figures, int]:
    """What the API sees, and the limit."""
    chance = random.Random(seed)
    rate = rate or chance.choice((Rate(20, 4.0), Rate(20, 4.0), Rate(5, 10.0), Rate(30, 12.0)))
    replicas = replicas or chance.choice((2, 3, 4))
    run = Run(url, seed, rate, replicas, edit)
    return in_virtual_time(run.go(faults)), rate.limit


# By name: a part of the script, and what takes its place if the rule is switched off.
RULES: Final = {
    "margin": ("local MARGIN = 500", "local MARGIN = 0"),
    "rest": ("ask.known ~= '' and 'rest' or ask.start", "'full'"),
    "server": ("life.server ~= server or", ""),
    "stepped": ("(ask.stepped and ask.known == life.id)", "false"),
    "first-start": ("elseif ask.known ~= '' and", "elseif false and"),
    "lost-log": ("if number > 0 or state.last > now - span then", "if false then"),
    "reserves": ("present() - ask.reserves", "limit"),
}


def without(rule: str) -> Callable[[str], str]:
    """Switches a rule of the script off."""
    found, instead = RULES[rule]
    assert found in Script.load("budget", "ask").text
    return lambda text: text.replace(found, instead)
