"""The budget of one replica among several: asks Redis for each call, and has a reserve for times
when Redis gives no answer.

The rules of docs/budget.md that a replica keeps are here. lua/budget.lua has those of Redis.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from math import inf
from typing import Any, Final, TypeVar

import msgspec
from cachetools import FIFOCache

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.keys import AccountNames
from gateway.core.budget.priority import Rank, rank_of
from gateway.core.budget.window_log import (
    LATEST_SEND,
    BudgetRules,
    Rate,
    reserve_of,
    shared_part,
)
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.upstream.breaker import SHORTEST_HOLD
from gateway.core.vocabulary import Purpose, RedisOperation
from gateway.ports import Budget, BudgetView, Charge, Clock, Closed

# Seconds between two looks at Redis.
LOOK: Final = 0.5
# After the first reply of Redis, a replica asks for no call for so many seconds. In this time the
# other replicas look, and find out whether Redis lost its data or its clock was changed.
_NEW_FOR: Final = 1.0
# If a reply took at most so many seconds, it says what time it is on Redis' clock.
_QUICK: Final = 0.1
_MOST_SCOPES: Final = 10_000
# So many scopes at each look.
_AT_ONCE: Final = 10
# The rank of a question that wants no call. The other ranks are numbered from 1.
_LOOK_ONLY: Final = 0
_RANKS: Final = tuple(Rank)
_SCRIPTS: Final = ("ask", "close", "open")

_T = TypeVar("_T")


class _Word(StrEnum):
    """The answer to a question. AWAY: there was none. LATE: the question or its answer was long on
    its way, or Redis' clock was changed. REST: calls before a loss of Redis' data may still
    count."""

    OK = "OK"
    AWAY = "AWAY"
    LATE = "LATE"
    GATE = "GATE"
    REST = "REST"
    NO = "NO"


@dataclass(frozen=True, slots=True)
class _Reply:
    """The reply of the script `ask`. `wait`: seconds until another question makes sense. `now`: the
    time on Redis' clock."""

    word: _Word
    wait: float
    life: str = ""
    now: float = 0.0
    available: int | None = None
    limit: int = 0
    is_probed: bool = False
    other_rate: str | None = None


@dataclass(slots=True)
class _Scope:
    """What the replica knows of one scope.

    reply       the last reply
    back        calls that were not sent, or whose question was not answered
    is_probing  whether a call of this replica is the probe of the gate
    """

    reply: _Reply = _Reply(_Word.AWAY, inf)
    back: deque[str] = field(default_factory=lambda: deque(maxlen=50))
    is_probing: bool = False


class RedisBudget:
    """The Budget of one replica.

    reserve  the calls of this replica alone, and its gate, which also holds without Redis
    name     the name of this replica in Redis. No other replica has the same
    scopes   returns the scopes at which this replica looks even if it makes no calls
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        clock: Clock,
        rules: BudgetRules,
        reserve: Budget,
        *,
        name: str,
        scopes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._connection = connection
        self._names = AccountNames(prefix)
        self._clock = clock
        self._rules = rules
        self._reserve = reserve
        self._name = name
        self._list_scopes = scopes
        self._calls, self._looked_at = count(1), 0
        self._scopes: FIFOCache[str, _Scope] = FIFOCache(_MOST_SCOPES)
        self._life = ""
        self._offset: float | None = None  # Redis' time less the monotonic time
        self._first: float | None = None  # when Redis answered for the first time (monotonic)
        self._is_stepped = False
        self._scripts = {each: Script.load("budget", each) for each in _SCRIPTS}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            with suppress(RedisUnavailable):
                await self.look()
            await self._clock.sleep(LOOK)

    async def look(self) -> None:
        """Find out whether Redis lost its data, or whether its clock was changed. All scopes have
        one life, so some of them are enough: the listed ones in turn, or else the newest ones."""
        listed = self._list_scopes()
        first = self._looked_at % max(1, len(listed))
        self._looked_at = first + _AT_ONCE
        scopes = listed[first : first + _AT_ONCE] or [*self._scopes][-_AT_ONCE:]
        await asyncio.gather(*(self._put(each, _LOOK_ONLY, self._charge()) for each in scopes))

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        """As Budget.take. If the call is granted too late, Redis is asked once more: perhaps this
        process stood still."""
        for _ in range(2):
            self._refuse_by_gate(scope)
            charge = self._charge()
            reply = await self._ask(scope, rank_of(purpose), charge)
            match reply.word:
                case _Word.OK:
                    return charge
                case _Word.NO:
                    view = self.view(scope)
                    raise BudgetExhausted.of(view.limit, view.window, retry_after=reply.wait)
                case _Word.GATE:
                    what = "the API asked the gateway to wait"
                    raise GateClosed(what, retry_after=reply.wait, is_probed=reply.is_probed)
                case _Word.AWAY | _Word.REST:
                    break
        return await self._from_reserve(scope, purpose, reply)

    async def _ask(self, scope: str, rank: Rank, charge: Charge) -> _Reply:
        """Ask for a call. LATE: it was granted, but may not be sent any more, or a 429 came
        meanwhile."""
        if not self._connection.is_up:
            return _Reply(_Word.AWAY, inf)
        known = self._known(scope)
        try:
            if self._first is None:
                await self._put(scope, _LOOK_ONLY, self._charge())
            new_for = (self._first or charge.asked) + _NEW_FOR - charge.asked
            if new_for > 0.0 and self._rules.rates.of(scope) is not None:
                return _Reply(_Word.REST, new_for)
            reply = await self._put(scope, _RANKS.index(rank) + 1, charge)
        except BaseException as error:
            known.back.append(charge.call)
            if isinstance(error, RedisUnavailable):
                return _Reply(_Word.AWAY, inf)
            raise
        is_closed = self._reserve.view(scope).gate_closed_for > 0.0
        if reply.word is _Word.OK and (is_closed or charge.is_late(self._clock.monotonic())):
            known.back.append(charge.call)
            return replace(reply, word=_Word.LATE, wait=LATEST_SEND)
        return reply

    async def _put(self, scope: str, rank: int, charge: Charge) -> _Reply:
        """Put a question to Redis, and note what the reply says."""
        known = self._known(scope)
        back = list(known.back)
        question = self._question(scope, rank, charge, back)
        reply = await self._run("ask", self._names.all(scope), [question], _read)
        now = self._clock.monotonic()
        is_quick = now - charge.asked <= _QUICK
        if reply.word is _Word.LATE:
            # If the question was not long on its way, Redis' clock was changed.
            self._is_stepped |= is_quick
            return reply
        self._first = now if self._first is None else self._first
        if reply.life != self._life:
            self._life, self._is_stepped, self._offset = reply.life, False, None
        if self._offset is None or is_quick:
            self._offset = reply.now - charge.asked
        known.reply = reply
        for each in back:
            with suppress(ValueError):
                known.back.remove(each)
        if reply.word is _Word.GATE and not reply.is_probed and reply.wait >= SHORTEST_HOLD:
            self._reserve.hold(scope, reply.wait)
        if reply.word is _Word.OK and rank != _LOOK_ONLY:
            known.is_probing |= reply.is_probed
        return reply

    def _question(self, scope: str, rank: int, charge: Charge, back: Sequence[str]) -> bytes:
        """The argument of the script `ask`, which says what the fields mean."""
        rules = self._rules
        rate, counted = rules.rates.of(scope), rules.rates.counted(scope) or Rate(0, 60.0)
        question = {
            "id": charge.call,
            "known": self._life,
            "expect": 0 if self._offset is None else _micros(self._offset + charge.asked),
            "stepped": self._is_stepped,
            "back": back,
            "rank": rank,
            "limit": counted.limit,
            "window": _micros(counted.window),
            "reserves": rules.replicas * reserve_of(counted.limit, rules.replicas),
            "share": rules.sweep_share,
            "patience": _micros(rules.probe_patience),
            "paced": rules.start_paced,
            "rate": "unlimited" if rate is None else f"{rate.limit}/{rate.window:g}s",
            "name": self._name,
        }
        return msgspec.json.encode(question)

    async def _from_reserve(self, scope: str, purpose: Purpose, reply: _Reply) -> Charge:
        try:
            return await self._reserve.take(scope, purpose)
        except BudgetExhausted as spent:
            view, wait = self.view(scope), min(reply.wait, spent.retry_after)
            error = BudgetExhausted.of(view.limit, view.window, retry_after=wait)
            error.is_passing = reply.word is not _Word.REST
            raise error from None

    async def give_back(self, scope: str, charge: Charge) -> None:
        """As Budget.give_back."""
        if charge.is_reserve:
            await self._reserve.give_back(scope, charge)
            return
        self._known(scope).back.append(charge.call)
        with suppress(RedisUnavailable):
            await self._put(scope, _LOOK_ONLY, self._charge())

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """As Budget.close."""
        own = await self._reserve.close(scope, retry_after)
        rate = self._rules.rates.counted(scope) or Rate(0, 60.0)
        arguments = _micros(own.seconds), rate.limit, _micros(rate.window)
        try:
            state = [self._names.state(scope)]
            seconds, limit = await self._run("close", state, arguments, _read_closed)
        except RedisUnavailable:
            return replace(own, limit=None)
        self._reserve.hold(scope, seconds)
        known = self._known(scope)
        known.reply = replace(known.reply, limit=limit)
        return Closed(seconds, own.is_longer, limit or None)

    def hold(self, scope: str, seconds: float) -> None:
        """As Budget.hold."""
        self._reserve.hold(scope, seconds)

    async def reopen(self, scope: str) -> bool:
        """As Budget.reopen. If Redis does not answer, the next answer of the API opens its gate."""
        opened, known = await self._reserve.reopen(scope), self._known(scope)
        known.is_probing |= opened
        if not known.is_probing:
            return False
        with suppress(RedisUnavailable):
            opened |= await self._run("open", [self._names.state(scope)], [], _read_opened)
            known.is_probing = False
        return opened

    def view(self, scope: str) -> BudgetView:
        """As Budget.view. While Redis is away, `available` is what is left of the reserve. Before
        the first reply, all calls that Redis hands out count as free."""
        own, reply = self._reserve.view(scope), self._known(scope).reply
        rate = self._rules.rates.counted(scope)
        if rate is None:
            return replace(own, other_rate=reply.other_rate)
        limit, available = min(reply.limit or rate.limit, rate.limit), own.available
        if self._connection.is_up:
            shared = shared_part(limit, self._rules.replicas)
            available = shared if reply.available is None else min(limit, reply.available)
        return BudgetView(limit, rate.window, available, own.gate_closed_for, reply.other_rate)

    def _refuse_by_gate(self, scope: str) -> None:
        wait = self._reserve.view(scope).gate_closed_for
        if wait > 0.0:
            raise GateClosed("the API asked the gateway to wait", retry_after=wait)

    def _known(self, scope: str) -> _Scope:
        known = self._scopes.get(scope)
        if known is None:
            known = self._scopes[scope] = _Scope()
        return known

    def _charge(self) -> Charge:
        return Charge(f"{self._name}-{next(self._calls)}", self._clock.monotonic())

    async def _run(
        self,
        script: str,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int],
        read: Callable[[list[Any]], _T],
    ) -> _T:
        text, run = self._scripts[script], self._connection.run_script
        return await run(RedisOperation.BUDGET, text, keys, arguments, read)


def _read(raw: list[Any]) -> _Reply:
    word, wait, life, now, available, limit, is_probed, other = raw
    return _Reply(
        *(_Word(word.decode()), _seconds(wait), life.decode(), _seconds(now)),
        *(int(available), int(limit), int(is_probed) == 1, other.decode() or None),
    )


def _read_closed(raw: list[Any]) -> tuple[float, int]:
    return _seconds(raw[0]), int(raw[1])


def _read_opened(raw: list[Any]) -> bool:
    return int(raw[0]) == 1


def _micros(seconds: float) -> int:
    """Whole microseconds."""
    return round(seconds * 1_000_000)


def _seconds(micros: bytes) -> float:
    """Seconds, from the microseconds in a reply."""
    return int(micros) / 1_000_000
