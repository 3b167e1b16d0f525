"""The budget on Redis: one window of calls and one gate for all replicas, on Redis' clock.

The scripts in lua/budget.lua have the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.keys import AccountNames
from gateway.core.budget.breaker import FIRST_HOLD, LAST_HOLD, LONGEST_HOLD, SHORTEST_HOLD
from gateway.core.budget.priority import Rank
from gateway.core.budget.window_log import Counted, OwnRates, Rate, reserve_of, shared_part
from gateway.core.vocabulary import RedisOperation
from gateway.ports import BudgetQuestion, BudgetReply, BudgetView, BudgetWord, Clock, Closed

_SCOPES_SEEN = 10_000
# The most questions in one round trip, so that Redis answers in time.
_AT_ONCE: Final = 50
_RANKS: Final = tuple(Rank)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The state of a scope in the last reply. The gate is closed until `closed_until`
    (monotonic)."""

    available: int
    limit: int
    closed_until: float
    other_rate: str | None = None


@dataclass(frozen=True, slots=True)
class BudgetRules:
    """What all scopes have in common.

    usual           the rate of scopes without a rate of their own (None: no limit)
    window          the window that is shown for a scope without a limit
    replicas        the largest number of replicas
    start_paced     whether a first start is paced
    probe_patience  seconds for which a probe without an answer stops other calls
    sweep_share     the largest part of a limit that the sweep can use, in (0, 1]
    """

    usual: Rate | None
    window: float = 60.0
    replicas: int = 4
    start_paced: bool = True
    probe_patience: float = 15.0
    sweep_share: float = 1.0


class RedisBudget:
    """The SharedBudget. `name` is the name of this replica in Redis. No other replica has the same
    name."""

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        clock: Clock,
        rules: BudgetRules,
        *,
        name: str,
        rates: OwnRates | None = None,
    ) -> None:
        self._connection = connection
        self._names = AccountNames(prefix)
        self._clock = clock
        self._rules = rules
        self._name = name
        self._rates = rates or OwnRates()
        self._seen: LRUCache[str, _Seen] = LRUCache(_SCOPES_SEEN)
        self._ask = Script.load("budget", "ask")
        self._give_back = Script.load("budget", "give_back")
        self._close = Script.load("budget", "close")
        self._open = Script.load("budget", "open")

    @property
    def is_up(self) -> bool:
        """As SharedBudget.is_up."""
        return self._connection.is_up

    async def ask(self, question: BudgetQuestion) -> BudgetReply:
        """As SharedBudget.ask."""
        raw = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._ask,
            self._names.all(question.scope),
            self._arguments(question),
            list,
        )
        return self._read(question.scope, raw)

    async def look(self, questions: Sequence[BudgetQuestion]) -> list[BudgetReply]:
        """As SharedBudget.look."""
        replies: list[BudgetReply] = []
        for first in range(0, len(questions), _AT_ONCE):
            some = questions[first : first + _AT_ONCE]
            calls = [(self._names.all(each.scope), self._arguments(each)) for each in some]
            raws = await self._connection.run_many(RedisOperation.BUDGET, self._ask, calls, list)
            replies += [self._read(each.scope, raw) for each, raw in zip(some, raws, strict=True)]
        return replies

    async def give_back(self, scope: str, call: str) -> None:
        """As Budget.give_back."""
        closed_for = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._give_back,
            self._names.all(scope)[1:],
            (call,),
            lambda raw: seconds(raw[0]),
        )
        self._note(scope, closed_for)

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """As Budget.close. If the gate is closed and no probe is under way, the 429 does not lower
        the limit, because the refused call was sent before the gate closed."""
        rate = self._rates.of(scope, self._rules.usual)
        counted = None if rate is None else Counted.of(rate).rate
        closed_for, is_longer, limit = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._close,
            (self._names.state(scope),),
            (
                "" if retry_after is None else f"{retry_after:.6f}",
                f"{self._clock.jitter():.6f}",
                *map(str, (FIRST_HOLD, LAST_HOLD, SHORTEST_HOLD, LONGEST_HOLD)),
                0 if counted is None else counted.limit,
                micros(60.0 if counted is None else counted.window),
            ),
            lambda raw: (seconds(raw[0]), int(raw[1]) == 1, int(raw[2])),
        )
        self._note(scope, closed_for, limit)
        return Closed(closed_for, is_longer, self.view(scope).limit)

    async def reopen(self, scope: str) -> bool:
        """As Budget.reopen."""
        closed_for, opened = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._open,
            (self._names.state(scope),),
            (),
            lambda raw: (seconds(raw[0]), int(raw[1]) == 1),
        )
        self._note(scope, closed_for)
        return opened

    def view(self, scope: str) -> BudgetView:
        """As Budget.view. Before the first reply, all calls that Redis hands out count as free."""
        seen, rate = self._seen.get(scope), self._rates.of(scope, self._rules.usual)
        closed_for = 0.0 if seen is None else seen.closed_until - self._clock.monotonic()
        closed_for, other = max(0.0, closed_for), None if seen is None else seen.other_rate
        if rate is None:
            return BudgetView(None, self._rules.window, None, closed_for, other)
        counted = Counted.of(rate)
        limit = counted.rate.limit if seen is None else min(seen.limit, counted.rate.limit)
        free = shared_part(limit, self._rules.replicas) if seen is None else seen.available
        whole = counted.whole(limit, rate), counted.whole(min(limit, free), rate)
        return BudgetView(whole[0], rate.window, whole[1], closed_for, other)

    def _arguments(self, question: BudgetQuestion) -> tuple[str | int, ...]:
        rules, rate = self._rules, self._rates.of(question.scope, self._rules.usual)
        counted = Rate(0, rules.window) if rate is None else Counted.of(rate).rate
        reserves = rules.replicas * reserve_of(counted.limit, rules.replicas)
        wants = question.rank is not None
        mine = [question.mine.get(rank, ("", 0.0)) for rank in _RANKS]
        return (
            *(question.call, question.life),
            *(part for call, at in mine for part in (call, micros(at))),
            0 if question.expect is None else micros(question.expect),
            int(question.stepped),
            " ".join(question.back),
            int(wants),
            1 if question.rank is None else _RANKS.index(question.rank) + 1,
            *(counted.limit - reserves, counted.limit, micros(counted.window), reserves),
            f"{rules.sweep_share:.6f}",
            micros(rules.probe_patience),
            int(rules.start_paced),
            "unlimited" if rate is None else f"{rate.limit}/{rate.window:g}s",
            self._name,
        )

    def _read(self, scope: str, raw: Sequence[Any]) -> BudgetReply:
        word, wait, life, now, available, limit, closed_for, is_probed, other = raw
        told = BudgetReply(
            *(BudgetWord(word.decode()), seconds(wait), life.decode(), seconds(now)),
            is_probed=int(is_probed) == 1,
        )
        if told.word is not BudgetWord.LATE:
            until = self._clock.monotonic() + seconds(closed_for)
            seen = _Seen(int(available), int(limit), until, other.decode() or None)
            self._seen[scope] = seen
        return told

    def _note(self, scope: str, closed_for: float, limit: int | None = None) -> None:
        """Note how long the gate is closed, and the present limit (None: as before)."""
        view, until = self._seen.get(scope), self._clock.monotonic() + closed_for
        if view is None and limit is None:
            return
        available, before = (0, limit or 0) if view is None else (view.available, view.limit)
        other = None if view is None else view.other_rate
        self._seen[scope] = _Seen(available, before if limit is None else limit, until, other)


def micros(seconds: float) -> int:
    """Whole microseconds."""
    return round(seconds * 1_000_000)


def seconds(micros: bytes) -> float:
    """Seconds, from the microseconds in a reply."""
    return int(micros) / 1_000_000
