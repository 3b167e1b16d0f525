"""The budget of one replica among several: asks Redis for each call, and has a reserve for times
when Redis gives no answer.

The rules of docs/budget.md that a replica keeps are here. lua/budget.lua has those of Redis.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from math import inf
from typing import Any, Final

import msgspec
from cachetools import FIFOCache

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.keys import AccountNames
from gateway.core.budget.priority import rank_of
from gateway.core.budget.window_log import BudgetRules, reserve_of
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.upstream.breaker import SHORTEST_HOLD
from gateway.core.vocabulary import Purpose, RedisOperation
from gateway.ports import Budget, BudgetView, Charge, Clock, Closed

# Seconds between two looks at Redis.
LOOK: Final = 0.5
# After a replica heard of a life, it asks for no call for so many seconds. In this time the other
# replicas look, and find out whether Redis lost its data or its clock was changed.
_NEW_FOR: Final = 1.0
# A clock that differs by more than so many seconds was changed. lua/budget.lua has the same number.
# A reply that took longer does not say what time it is on Redis' clock.
_CLOCK: Final = 0.1
_MOST_SCOPES: Final = 10_000
# So many scopes at each look.
_AT_ONCE: Final = 10


class _Word(StrEnum):
    """The answer to a question. AWAY: there was none that can be used. REST: calls before a loss of
    Redis' data may still count."""

    OK = "OK"
    AWAY = "AWAY"
    GATE = "GATE"
    REST = "REST"
    NO = "NO"


class _Reply(msgspec.Struct, frozen=True):
    """The reply of the script. `wait`: seconds until another question makes sense. `now`: the time
    on Redis' clock."""

    word: _Word
    wait: float
    life: str = ""
    now: float = 0.0
    available: int | None = None
    limit: int = 0
    is_probed: bool = False
    other_rate: str | None = None


_AWAY: Final = _Reply(_Word.AWAY, inf)


@dataclass(slots=True)
class _Scope:
    """What the replica knows of one scope: the last reply, and calls that Redis must forget. These
    were not sent, or the question was not answered."""

    reply: _Reply = _AWAY
    back: deque[str] = field(default_factory=lambda: deque(maxlen=50))


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
        # The life, when the replica heard of it, and Redis' time less the monotonic time.
        self._life, self._heard, self._offset = "", -inf, 0.0
        self._is_stepped = False
        self._script = Script.load("budget", "ask")

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK)

    async def look(self) -> None:
        """Find out whether Redis lost its data, or whether its clock was changed. All scopes have
        one life, so some of them are enough: the listed ones in turn, or else the newest ones."""
        listed = self._list_scopes()
        first = self._looked_at % max(1, len(listed))
        self._looked_at = first + _AT_ONCE
        scopes = listed[first : first + _AT_ONCE] or [*self._scopes][-_AT_ONCE:]
        for each in scopes:
            with suppress(RedisUnavailable):
                await self._look_at(each)

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        own = self._reserve.view(scope).gate_closed_for
        if own > 0.0:
            raise GateClosed.of(retry_after=own)
        charge = self._charge(rank_of(purpose))
        reply = await self._ask(scope, charge)
        match reply.word:
            case _Word.OK:
                return charge
            case _Word.NO:
                raise self._exhausted(scope, reply.wait)
            case _Word.GATE:
                raise GateClosed.of(retry_after=reply.wait, is_passing=reply.is_probed)
            case _Word.AWAY | _Word.REST:
                try:
                    return await self._reserve.take(scope, purpose)
                except BudgetExhausted as spent:
                    wait, is_passing = min(reply.wait, spent.retry_after), reply is _AWAY
                    raise self._exhausted(scope, wait, is_passing=is_passing) from None

    def _exhausted(self, scope: str, wait: float, *, is_passing: bool = False) -> BudgetExhausted:
        view = self.view(scope)
        return BudgetExhausted.of(view.limit, view.window, retry_after=wait, is_passing=is_passing)

    async def _ask(self, scope: str, charge: Charge) -> _Reply:
        """Ask for a call."""
        reply = _AWAY
        if not self._connection.is_up:
            return reply
        try:
            with suppress(RedisUnavailable):
                if not self._life:
                    await self._look_at(scope)
                new_for = self._heard + _NEW_FOR - charge.asked
                is_new = new_for > 0.0 and self._rules.rates.of(scope) is not None
                rest = _Reply(_Word.REST, new_for)
                reply = rest if is_new else await self._put(scope, charge)
            if reply.word is _Word.OK and self._reserve.view(scope).gate_closed_for > 0.0:
                reply = _AWAY  # a 429 came meanwhile
        finally:
            if reply is _AWAY:
                self._known(scope).back.append(charge.call)
        return reply

    async def _look_at(self, scope: str, **news: object) -> _Reply:
        """Ask for no call: no call has the rank 0."""
        return await self._put(scope, self._charge(0), **news)

    async def _put(self, scope: str, charge: Charge, **news: object) -> _Reply:
        """Put a question to Redis, and note what the reply says. Raises RedisUnavailable if the
        reply cannot be used, too."""
        known = self._known(scope)
        back = list(known.back)
        question = self._question(scope, charge) | {"back": back} | news
        keys, argument = self._names.all(scope), msgspec.json.encode(question)
        run = self._connection.run_script
        reply = await run(RedisOperation.BUDGET, self._script, keys, [argument], _read)
        for each in back:
            with suppress(ValueError):
                known.back.remove(each)
        known.reply = reply
        if reply.word is _Word.GATE and not reply.is_probed and reply.wait >= SHORTEST_HOLD:
            self._reserve.hold(scope, reply.wait)
        if self._is_late(reply, charge.asked, self._clock.monotonic()):
            raise RedisUnavailable(RedisOperation.BUDGET, "its clock is ahead of the question")
        return reply

    def _is_late(self, reply: _Reply, asked: float, now: float) -> bool:
        """Whether the question was long on its way, or Redis' clock was changed. Notes what the
        reply says about the life and the clock."""
        is_quick = now - asked <= _CLOCK
        if reply.life != self._life:
            self._life, self._heard, self._is_stepped = reply.life, now, False
        elif self._is_stepped or reply.now > self._offset + asked + _CLOCK:
            self._is_stepped |= is_quick
            return True
        elif not is_quick:
            return False
        self._offset = reply.now - asked
        return False

    def _question(self, scope: str, charge: Charge) -> dict[str, object]:
        """The argument of the script, which says what the fields mean."""
        rules = self._rules
        rate = rules.rates.of(scope)
        limit, window = (0, 60.0) if rate is None else (rate.limit, rate.window)
        return {
            "id": charge.call,
            "known": self._life,
            "stepped": self._is_stepped,
            "limit": limit,
            "window": window,
            "reserves": rules.replicas * reserve_of(limit, rules.replicas),
            "share": rules.sweep_share,
            "patience": rules.probe_patience,
            "start": rules.start,
            "rate": "unlimited" if rate is None else f"{limit}/{window:g}s",
            "name": self._name,
        }

    async def give_back(self, scope: str, charge: Charge) -> None:
        if charge.is_reserve:
            await self._reserve.give_back(scope, charge)
            return
        self._known(scope).back.append(charge.call)
        with suppress(RedisUnavailable):
            await self._look_at(scope)

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        own = await self._reserve.close(scope, retry_after)
        try:
            reply = await self._look_at(scope, hold=own.seconds)
        except RedisUnavailable:
            return Closed(own.seconds, None)
        return Closed(max(own.seconds, reply.wait), reply.limit or None)

    def hold(self, scope: str, seconds: float) -> None:
        self._reserve.hold(scope, seconds)

    async def reopen(self, scope: str) -> bool:
        """As Budget.reopen. If Redis does not answer, the next answer of the API opens its gate."""
        opened = await self._reserve.reopen(scope)
        if opened or self._known(scope).reply.is_probed:
            with suppress(RedisUnavailable):
                opened |= (await self._look_at(scope, answered=True)).word is _Word.OK
        return opened

    def view(self, scope: str) -> BudgetView:
        """As Budget.view. While Redis is away, `available` is what is left of the reserve."""
        own, reply = self._reserve.view(scope), self._known(scope).reply
        rate = self._rules.rates.of(scope)
        if rate is None:
            return replace(own, other_rate=reply.other_rate)
        limit, available = min(reply.limit or rate.limit, rate.limit), own.available
        if self._connection.is_up and reply.available is not None:
            available = min(limit, reply.available)
        return BudgetView(limit, rate.window, available, own.gate_closed_for, reply.other_rate)

    def _known(self, scope: str) -> _Scope:
        known: _Scope = self._scopes.setdefault(scope, _Scope())
        return known

    def _charge(self, rank: int) -> Charge:
        call = f"{rank}-{self._name}-{next(self._calls)}"
        return Charge(call, self._clock.monotonic())


def _read(raw: list[Any]) -> _Reply:
    return msgspec.json.decode(raw[0], type=_Reply)
