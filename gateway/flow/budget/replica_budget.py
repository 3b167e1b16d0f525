"""The budget of one replica among several: asks Redis for each call, and has a reserve.

The rules of docs/budget.md that a replica keeps are here. lua/budget.lua has those of Redis.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from typing import Final, Protocol

from cachetools import LRUCache

from gateway.core.budget.breaker import SHORTEST_HOLD
from gateway.core.budget.priority import Rank, rank_of
from gateway.core.budget.window_log import LATEST_SEND, counts_for
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.ports import (
    Budget,
    BudgetQuestion,
    BudgetReply,
    BudgetView,
    BudgetWord,
    Charge,
    Clock,
    Closed,
    SharedBudget,
)

# Seconds between two looks at the shared budget.
LOOK: Final = 0.5
# Every so many looks, all scopes are looked at. Otherwise only those with calls of the last window.
_ALL: Final = 10
# So many calls of each rank are remembered. If the last ones are given back, others are left.
_MINE: Final = 8
# If a reply took at most so many seconds, it says what time it is on Redis' clock.
_QUICK: Final = 0.1
_MOST: Final = 10_000


class Warn(Protocol):
    """Logs a warning with these fields."""

    def __call__(self, event: str, /, **fields: object) -> None: ...


@dataclass(slots=True)
class _Scope:
    """What the replica knows of one scope.

    mine     by rank: the last calls that Redis granted in this life, with the times of Redis' clock
    back     calls whose question was not answered: perhaps Redis granted them
    """

    mine: dict[Rank, list[tuple[str, float]]] = field(default_factory=dict)
    back: deque[str] = field(default_factory=lambda: deque(maxlen=50))

    def forget(self, call: str) -> None:
        """Forget a call that is given back."""
        for calls in self.mine.values():
            calls[:] = [each for each in calls if each[0] != call]


class ReplicaBudget:
    """The Budget of one replica.

    shared    the part of the limit that Redis hands out
    reserve   the calls of this replica alone, for times when Redis gives no answer
    warn      logs a warning: replicas have different rates, or more are alive than expected
    name      the beginning of the names of this replica's calls. No other replica has the same
    replicas  returns how many replicas are alive
    most      how many replicas are expected at most
    scopes    returns the scopes at which this replica looks even if it makes no calls
    new_for   seconds after the first reply of Redis in which the replica asks for no call. In this
              time the other replicas look, and find out whether Redis lost its data or its clock
              was changed
    """

    def __init__(
        self,
        shared: SharedBudget,
        reserve: Budget,
        clock: Clock,
        warn: Warn,
        *,
        name: str,
        replicas: Callable[[], int],
        most: int,
        scopes: Callable[[], Sequence[str]] = tuple,
        new_for: float = 1.0,
    ) -> None:
        self._shared = shared
        self._reserve = reserve
        self._clock = clock
        self._warn = warn
        self._name = name
        self._replicas = replicas
        self._most = most
        self._list_scopes = scopes
        self._new_for = new_for
        self._numbers = count(1)
        self._scopes: LRUCache[str, _Scope] = LRUCache(_MOST)
        # The scopes with calls of the last window, and when the last one was granted (monotonic).
        self._active: dict[str, float] = {}
        self._life = ""
        self._offset: float | None = None  # Redis' time less the monotonic time
        self._first: float | None = None  # when Redis answered for the first time (monotonic)
        self._is_stepped = False
        self._differing: dict[str, str | None] = {}
        self._are_too_many = False

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        for number in count():
            with suppress(RedisUnavailable):
                await self.look(everywhere=number % _ALL == 0)
            self._count_replicas()
            await self._clock.sleep(LOOK)

    async def look(self, *, everywhere: bool = False) -> None:
        """Find out whether Redis lost its data, or whether its clock was changed."""
        now, listed = self._clock.monotonic(), list(self._list_scopes())
        for scope, made in list(self._active.items()):
            if now - made > counts_for(self._shared.view(scope).window):
                del self._active[scope]
        if self._shared.is_up:
            await self._look_at([*{*self._active, *(listed if everywhere else listed[:1])}])

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        """As Budget.take."""
        self._refuse_behind_own_gate(scope)
        asked = self._clock.monotonic()
        try:
            reply, charge = await self._ask(scope, rank_of(purpose), asked)
        except RedisUnavailable:
            return await self._from_reserve(scope, purpose, inf, is_passing=True)
        match reply.word:
            case BudgetWord.OK:
                return await self._granted(scope, charge)
            case BudgetWord.NO:
                view = self._shared.view(scope)
                raise BudgetExhausted.of(view.limit, view.window, retry_after=reply.wait)
            case BudgetWord.GATE:
                what = "the API asked the gateway to wait"
                raise GateClosed(what, retry_after=reply.wait, is_probed=reply.is_probed)
            case BudgetWord.LATE | BudgetWord.REST:
                is_passing = reply.word is BudgetWord.LATE
                return await self._from_reserve(scope, purpose, reply.wait, is_passing=is_passing)

    async def _ask(self, scope: str, rank: Rank, asked: float) -> tuple[BudgetReply, Charge]:
        if not self._shared.is_up:
            raise RedisUnavailable("budget", "Redis is away")
        if self._first is None:
            await self._look_at([scope])
        question = self._question(scope, rank, asked)
        limit = self._shared.view(scope).limit
        new_for = (self._first or asked) + self._new_for - asked
        if limit is not None and new_for > 0.0:
            return BudgetReply(BudgetWord.REST, new_for, self._life, 0.0), Charge("", asked)
        known = self._known(scope)
        try:
            reply = await self._shared.ask(question)
        except BaseException:
            known.back.append(question.call)
            raise
        self._heard(question, reply, asked)
        if self._clock.monotonic() - asked > LATEST_SEND and reply.word is BudgetWord.OK:
            known.forget(question.call)
            known.back.append(question.call)
            return replace(reply, word=BudgetWord.LATE, wait=_QUICK), Charge("", asked)
        return reply, Charge(question.call, asked)

    async def _look_at(self, scopes: Sequence[str]) -> None:
        asked = self._clock.monotonic()
        questions = [self._question(each, None, asked) for each in scopes]
        replies = await self._shared.look(questions)
        for question, reply in zip(questions, replies, strict=True):
            self._heard(question, reply, asked)
            self._compare_rates(question.scope)

    def _question(self, scope: str, rank: Rank | None, now: float) -> BudgetQuestion:
        known = self._known(scope)
        return BudgetQuestion(
            scope=scope,
            call=f"{self._name}-{next(self._numbers)}",
            rank=rank,
            life=self._life,
            mine={of: calls[-1] for of, calls in known.mine.items() if calls},
            expect=None if self._offset is None else self._offset + now,
            stepped=self._is_stepped,
            back=tuple(known.back),
        )

    def _heard(self, question: BudgetQuestion, reply: BudgetReply, asked: float) -> None:
        now, known = self._clock.monotonic(), self._known(question.scope)
        is_quick = now - asked <= _QUICK
        if reply.word is BudgetWord.LATE:
            # The question was not long on its way, so Redis' clock was changed.
            self._is_stepped |= is_quick
            return
        if self._first is None:
            self._first = now
        if reply.life != self._life:
            self._life, self._is_stepped, self._offset = reply.life, False, None
            for scope in self._scopes.values():
                scope.mine.clear()
        if self._offset is None or is_quick:
            self._offset = reply.now - asked
        if reply.word is BudgetWord.GATE and not reply.is_probed and reply.wait >= SHORTEST_HOLD:
            self._reserve.hold(question.scope, reply.wait)
        for each in question.back:
            with suppress(ValueError):
                known.back.remove(each)
        if question.rank is not None and reply.word is BudgetWord.OK:
            calls = known.mine.setdefault(question.rank, [])
            calls[:] = [*calls[1 - _MINE :], (question.call, reply.now)]
            self._active[question.scope] = now

    async def _granted(self, scope: str, charge: Charge) -> Charge:
        """If a 429 came while Redis was asked, undo the charge and raise GateClosed."""
        try:
            self._refuse_behind_own_gate(scope)
        except GateClosed:
            await self.give_back(scope, charge)
            raise
        return charge

    async def _from_reserve(
        self, scope: str, purpose: Purpose, wait: float, *, is_passing: bool
    ) -> Charge:
        try:
            return await self._reserve.take(scope, purpose)
        except BudgetExhausted as spent:
            view = self._shared.view(scope)
            retry_after = min(wait, spent.retry_after)
            error = BudgetExhausted.of(view.limit, view.window, retry_after=retry_after)
            error.is_passing = is_passing
            raise error from None

    async def give_back(self, scope: str, charge: Charge) -> None:
        """As Budget.give_back."""
        if charge.is_reserve:
            await self._reserve.give_back(scope, charge)
            return
        known = self._known(scope)
        known.forget(charge.call)
        try:
            await self._shared.give_back(scope, charge.call)
        except RedisUnavailable:
            known.back.append(charge.call)

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """As Budget.close."""
        try:
            closed = await self._shared.close(scope, retry_after)
        except RedisUnavailable:
            return replace(await self._reserve.close(scope, retry_after), limit=None)
        # Close the own gate for the same time. `hold` adds no jitter, so the probe can be sent
        # almost as soon as Redis allows it.
        self._reserve.hold(scope, closed.seconds)
        return closed

    def hold(self, scope: str, seconds: float) -> None:
        """As Budget.hold."""
        self._reserve.hold(scope, seconds)

    async def reopen(self, scope: str) -> bool:
        """As Budget.reopen. False if the gate in Redis was closed, and Redis does not answer."""
        opened = await self._reserve.reopen(scope)
        was_closed = self._shared.view(scope).gate_closed_for > 0.0
        if opened or was_closed:
            try:
                opened |= await self._shared.reopen(scope)
            except RedisUnavailable:
                return opened and not was_closed
        return opened

    def view(self, scope: str) -> BudgetView:
        """As Budget.view, with the longer `gate_closed_for` of both gates. While Redis is away,
        `available` is what is left of the reserve."""
        shared, own = self._shared.view(scope), self._reserve.view(scope)
        available = shared.available if self._shared.is_up else own.available
        closed_for = max(shared.gate_closed_for, own.gate_closed_for)
        return replace(shared, available=available, gate_closed_for=closed_for)

    def _compare_rates(self, scope: str) -> None:
        """Warn if another replica has another rate for this budget."""
        view = self._shared.view(scope)
        if view.other_rate is not None and self._differing.get(scope) != view.other_rate:
            own = "unlimited" if view.limit is None else f"{view.limit}/{view.window:g}s"
            self._warn("budget.rates-differ", scope=scope, rate=own, other_rate=view.other_rate)
        self._differing[scope] = view.other_rate

    def _count_replicas(self) -> None:
        """Warn if more replicas are alive than have a reserve."""
        alive, before = self._replicas(), self._are_too_many
        self._are_too_many = alive > self._most
        if self._are_too_many and not before:
            self._warn("budget.too-many-replicas", alive=alive, expected=self._most)

    def _refuse_behind_own_gate(self, scope: str) -> None:
        wait = self._reserve.view(scope).gate_closed_for
        if wait > 0.0:
            raise GateClosed("the API asked the gateway to wait", retry_after=wait)

    def _known(self, scope: str) -> _Scope:
        known = self._scopes.get(scope)
        if known is None:
            known = self._scopes[scope] = _Scope()
        return known
