"""Pays for the calls of one replica, with Redis and without.

`ports/budget` defines the words look, part, share, claim and life.

Without Redis, a replica spends only calls that it knows to be unspent. All replicas divide these
calls equally. If a replica does not know yet what was spent, it pays from an equal part of the
whole limit, as after a start. By default, it grants most calls of this part at even intervals.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from cachetools import LRUCache

from gateway.core.budget.window_log import Past, Rate, Stretch, transit
from gateway.core.errors import BudgetExhausted, GateClosed, RedisUnavailable
from gateway.core.vocabulary import Purpose, RedisOperation
from gateway.ports import (
    BudgetView,
    Charge,
    Clock,
    Closed,
    KnownBudget,
    Looking,
    Made,
    OwnBudget,
    SharedBudget,
)

# Seconds between two looks at the shared budget.
LOOK: Final = 0.5
# The most scopes (names of budgets) in memory.
_MOST: Final = 1_000
# The most scopes in one call of `look` or `leave`. The reply to a look can have the ages of 2,000
# calls for each scope. A busy process takes 2 ms to read the ages of one such scope.
_AT_ONCE: Final = 20
# `Shares.look`, `_ask` and `_enter` make this many attempts at most.
_TRIES: Final = 3


@dataclass(slots=True)
class _Sent:
    """A call that this replica made at the time `at` (monotonic).

    `life` is the latest life in which the shared budget knew the call. 0: none. Each call of the
    process has a higher `number` than the call before. `is_asked`: Redis is asked for the call
    now, and has perhaps granted it. Its stamp is not known yet.
    """

    at: float
    charge: Charge
    life: int
    is_asked: bool = False
    number: int = field(default_factory=count(1).__next__)

    def made(self, now: float) -> Made:
        """The call as a look reports it."""
        return Made(self.number, now - self.at, self.charge)


@dataclass(slots=True)
class _Account:
    """The state of one scope in this replica.

    known       the result of the last look. None: there was no look yet
    earlier     the last result before a loss of data, if it was not reported yet
    asked       how many calls this replica has asked Redis for since the last look
    asked_then  the value of `asked` when the share was last computed. None: the share has to be
                computed before it is used
    lives       how many calls in `sent` have each value of `_Sent.life`
    under_way   the calls for which Redis is asked now. They are not in `sent`
    """

    known: KnownBudget | None = None
    earlier: KnownBudget | None = None
    asked: int = 0
    asked_then: int | None = None
    sent: deque[_Sent] = field(default_factory=deque)
    lives: Counter[int] = field(default_factory=Counter)
    under_way: list[_Sent] = field(default_factory=list)

    @property
    def claim(self) -> int:
        """How many calls of this replica's claim are left."""
        if self.known is None:
            return 0
        return max(0, self.known.claim - self.asked - self.lives[0])

    def untold(self) -> list[_Sent]:
        """The calls that the shared budget does not know in its present life. A call under way is
        one of them if Redis has lost its data since it was asked: perhaps Redis granted the call
        before, and the reply comes later."""
        life = 0 if self.known is None else self.known.life
        asked = [each for each in self.under_way if each.life != life]
        # `sent` can be long, so it is read only if needed.
        if life and self.lives[life] == len(self.sent):
            return asked
        return [*(each for each in self.sent if each.life != life or not life), *asked]

    @contextmanager
    def asking(self, at: float) -> Iterator[_Sent]:
        """Count a call as under way, for which Redis is asked at the time `at`."""
        life = 0 if self.known is None else self.known.life
        sent = _Sent(at, Charge(0.0), life, is_asked=True)
        self.under_way.append(sent)
        try:
            yield sent
        finally:
            self.under_way.remove(sent)

    def add(self, sent: _Sent) -> None:
        self.sent.append(sent)
        self.lives[sent.life] += 1

    def count(self) -> None:
        self.lives = Counter(each.life for each in self.sent)

    def forget(self, before: float) -> None:
        while self.sent and self.sent[0].at < before:
            self.lives[self.sent.popleft().life] -= 1


class Shares:
    """The Budget of one replica. Pays from the shared budget or, without Redis, from the share.

    `replicas` returns how many replicas are alive. `scopes` returns the scopes at which this
    replica looks from the start. So it knows their spent calls when the first request comes.
    """

    def __init__(
        self,
        shared: SharedBudget,
        own: OwnBudget,
        clock: Clock,
        replicas: Callable[[], int],
        scopes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._shared = shared
        self._own = own
        self._clock = clock
        self._replicas = replicas
        self._scopes = scopes
        self._accounts: LRUCache[str, _Account] = LRUCache(_MOST)

    async def run(self) -> None:
        """Look at each scope again and again, until cancelled."""
        try:
            while True:
                await self.look_at_all()
                await self._clock.sleep(LOOK)
        finally:
            # Look once more: only this replica can report the calls that it paid from its share.
            await self.look_at_all()
            for scopes in self._some_scopes():
                with suppress(RedisUnavailable):
                    await self._shared.leave(scopes)

    async def look_at_all(self) -> None:
        """Look at each scope. Scopes for which Redis does not answer are left out."""
        for scope in self._scopes():
            self._account(scope)
        for scopes in self._some_scopes():
            # Scopes whose node of Redis is away are left out. Otherwise the look at other scopes
            # would fail too.
            with suppress(RedisUnavailable):
                await self.look([each for each in scopes if self._shared.is_there(each)])

    def _some_scopes(self) -> Iterator[list[str]]:
        """All scopes in memory, a few at a time, so that Redis answers in time."""
        scopes = list(self._accounts)
        return (scopes[first : first + _AT_ONCE] for first in range(0, len(scopes), _AT_ONCE))

    async def look(self, scopes: Sequence[str]) -> None:
        """Read the state of each scope, and report the calls that the shared budget does not know.

        If a look brings a new life or a smaller part, another look follows. It reports that this
        replica uses the new result.
        """
        for _ in range(_TRIES):
            limited = [each for each in scopes if self._shared.view(each).limit is not None]
            if not limited:
                return
            scopes = await self._look(limited)

    async def _look(self, scopes: Sequence[str]) -> list[str]:
        """Returns the scopes that need another look."""
        now, asked, told = self._clock.monotonic(), [], []
        for scope in scopes:
            account = self._account(scope)
            self._forget(scope, account, now)
            sent = account.untold()
            told.append((account, account.known, sent))
            new = [each.made(now) for each in sent if each.is_asked or not each.life]
            made = [each.made(now) for each in sent if each.life and not each.is_asked]
            look = Looking(scope, account.known, account.claim, new, account.earlier, made)
            asked.append(look)
        changed = []
        for (account, before, sent), look, found in zip(
            told, asked, await self._shared.look(asked), strict=True
        ):
            is_same = before is not None and before.life == found.life
            known = found
            # The first look after a loss of data finds no part of this replica. The replica uses
            # its old part until the next look.
            if before is not None and not is_same:
                known = replace(found, part=before.part, share=before.share)
            if is_same and sent:
                for each in sent:
                    each.life = known.life
                account.count()
            # Perhaps another look has ended meanwhile. Then `newest` is its result.
            newest = account.known
            if is_same and account.earlier is look.earlier:
                account.earlier = None
            elif newest is not None and newest.life != found.life:
                # Redis has lost its data. The next look reports `earlier`.
                account.earlier = account.earlier or newest
            if newest is before or (newest is not None and known.stamp > newest.stamp):
                account.known, account.asked, account.asked_then = known, 0, None
            is_smaller = before is not None and known.part < before.part
            if not is_same or is_smaller:
                changed.append(look.scope)
        return changed

    async def take(self, scope: str, purpose: Purpose, *, patience: float = 0.0) -> Charge:
        """As Budget.take."""
        # After a 429, the gate in Redis can be open: perhaps Redis was away when the 429 came, or
        # has lost its data since then. So the gate of this replica is checked too.
        self._refuse_behind_own_gate(scope)
        try:
            charge = await self._ask(scope, purpose, patience=patience)
        except RedisUnavailable:
            return await self._from_share(scope, purpose, patience=patience)
        return await self._granted(scope, charge)

    async def _ask(self, scope: str, purpose: Purpose, *, patience: float) -> Charge:
        account, limit = self._account(scope), self._shared.view(scope).limit
        for _ in range(_TRIES if self._shared.is_there(scope) else 0):
            # Before Redis grants a call, it must know all earlier calls of this replica.
            if limit is not None and (account.known is None or account.untold()):
                await self.look([scope])
            charge = await self._take(scope, purpose, patience=patience)
            if charge is not None:
                return charge
            await self.look([scope])
        raise RedisUnavailable(RedisOperation.BUDGET, "no attempt brought a valid charge")

    async def _take(self, scope: str, purpose: Purpose, *, patience: float) -> Charge | None:
        """One attempt to get a charge. None if another look is necessary first."""
        account, asked = self._account(scope), self._clock.monotonic()
        known = account.known
        account.asked += 1
        with account.asking(asked) as sent:
            charge = await self._shared.take(scope, purpose, known, patience=patience)
            if charge is None:
                return None
            charge = replace(charge, life=sent.life)
        if charge.wait <= 0.0 and self._is_late(scope, asked):
            return await self._enter(scope, charge)
        return charge

    def _is_late(self, scope: str, asked: float) -> bool:
        """Whether Redis answered late. Redis counts a call from its grant. If the call is sent much
        later, Redis stops counting it too early."""
        return self._clock.monotonic() - asked > transit(self._shared.view(scope).window) / 4

    async def _from_share(self, scope: str, purpose: Purpose, *, patience: float) -> Charge:
        account = self._account(scope)
        # Each call that Redis was asked for uses up one call of the claim. The share depends on the
        # claim (see `_past`), so it is computed again after such calls.
        if account.asked_then is None or (account.known and account.asked_then != account.asked):
            account.asked_then = account.asked
            self._own.stand_in(scope, *self._past(account))
        try:
            charge = await self._own.take(scope, purpose, patience=patience)
        except BudgetExhausted as exhausted:
            exhausted.is_passing = True
            raise
        self._note(scope, charge)
        return replace(charge, is_share=True)

    def _past(self, account: _Account) -> tuple[Past | None, int]:
        """The arguments of `OwnBudget.stand_in`. The number of replicas includes silent ones,
        because they perhaps spend calls."""
        known = account.known
        replicas = max(1, self._replicas(), 0 if known is None else known.replicas)
        if known is None or known.share == 0:
            return None, replicas
        is_alone = replicas == 1
        times = [known.at - age for age in known.ages]
        # Two kinds of own calls are not in `times` yet:
        # 1. Calls that the shared budget does not know. They are always added.
        # 2. Calls that it granted after `known.at`. They are added only if this replica is alone.
        #    If there are other replicas, all calls that were free at `known.at` (except the claims)
        #    count as made at `until` (see `Past`), and calls of the second kind are among these.
        times += [
            each.at
            for each in account.sent
            if each.life != known.life or (is_alone and each.at >= known.at)
        ]
        # From the time `until` on, this replica counts as silent, and the shared budget keeps the
        # part of this replica. Before `until` it keeps only the claim of this replica, and other
        # replicas can spend the rest of the part.
        until = None if is_alone else known.at + self._shared.silence
        share = min(known.share, max(1, known.limit // replicas))
        own = [each.at for each in account.sent]
        return Past(replicas * share, times, until, account.claim, own), replicas

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """As Budget.enter. Also returns None if Redis does not answer, or if the call was paid from
        the share. In both cases the call needs another charge. A charge from the share is not moved
        to the present time, because the other replicas perhaps do not count it."""
        self._drop(scope, charge)
        if charge.is_share:
            await self._own.give_back(scope, charge)
            return None
        try:
            entered = await self._enter(scope, charge)
        except RedisUnavailable:
            return None
        return None if entered is None else await self._granted(scope, entered)

    async def _enter(self, scope: str, charge: Charge) -> Charge | None:
        """Move the charge to the time when the call is made."""
        for _ in range(_TRIES):
            asked = self._clock.monotonic()
            with self._account(scope).asking(asked) as sent:
                entered = await self._shared.enter(scope, charge)
                if entered is None:
                    return None
                charge = replace(entered, wait=0.0, life=sent.life)
            if not self._is_late(scope, asked):
                return charge
        return charge

    async def _granted(self, scope: str, charge: Charge) -> Charge:
        """Note the granted call. If a 429 came while Redis was asked, undo the charge and raise
        GateClosed."""
        try:
            self._refuse_behind_own_gate(scope)
        except GateClosed:
            await self.give_back(scope, charge)
            raise
        self._note(scope, charge)
        return charge

    def _note(self, scope: str, charge: Charge) -> None:
        """Remember a call that may be sent now. If the scope has no limit, the call is not
        remembered, because nothing would remove it later."""
        if charge.wait <= 0.0 and self._shared.view(scope).limit is not None:
            account, now = self._account(scope), self._clock.monotonic()
            # `_look` calls `_forget` too, but there are no looks while Redis is away.
            self._forget(scope, account, now)
            account.add(_Sent(now, charge, charge.life))

    async def give_back(self, scope: str, charge: Charge) -> None:
        """As Budget.give_back."""
        self._drop(scope, charge)
        if charge.is_share:
            await self._own.give_back(scope, charge)
            return
        # Without Redis the charge stays. This is safe: the charge can only prevent a call.
        with suppress(RedisUnavailable):
            await self._shared.give_back(scope, charge)

    def _drop(self, scope: str, charge: Charge) -> None:
        account = self._account(scope)
        kept = deque(each for each in account.sent if each.charge.stamp != charge.stamp)
        if len(kept) < len(account.sent):
            account.sent = kept
            account.count()

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """As Budget.close."""
        try:
            closed = await self._shared.close(scope, retry_after)
        except RedisUnavailable:
            # The limit of the share alone would mislead.
            return replace(await self._own.close(scope, retry_after), limit=None)
        # Close the own gate for the same time. `hold` adds no jitter, so the probe can be sent
        # almost as soon as Redis allows it.
        self._own.hold(scope, closed.seconds)
        return closed

    def hold(self, scope: str, seconds: float) -> None:
        """As Budget.hold."""
        self._own.hold(scope, seconds)

    async def reopen(self, scope: str) -> bool:
        """As Budget.reopen. False if the gate in Redis was closed, and Redis does not answer."""
        opened = await self._own.reopen(scope)
        was_closed = self._shared.view(scope).gate_closed_for > 0.0
        if opened or was_closed:
            try:
                opened |= await self._shared.reopen(scope)
            except RedisUnavailable:
                return opened and not was_closed
        return opened

    def view(self, scope: str) -> BudgetView:
        """As Budget.view, with the longer `gate_closed_for` of both gates. While this replica pays
        from its share, `available` is what is left of the share."""
        shared, own = self._shared.view(scope), self._own.view(scope)
        has_share = self._account(scope).asked_then is not None
        pays_alone = has_share and not self._shared.is_there(scope)
        available = own.available if pays_alone else shared.available
        closed_for = max(shared.gate_closed_for, own.gate_closed_for)
        replicas = max(shared.replicas, self._replicas())
        return replace(shared, available=available, gate_closed_for=closed_for, replicas=replicas)

    def _refuse_behind_own_gate(self, scope: str) -> None:
        wait = self._own.view(scope).gate_closed_for
        if wait > 0.0:
            raise GateClosed("the API asked the gateway to wait", retry_after=wait)

    def _account(self, scope: str) -> _Account:
        account = self._accounts.get(scope)
        if account is None:
            account = self._accounts[scope] = _Account()
        return account

    def _forget(self, scope: str, account: _Account, now: float) -> None:
        """Forget the calls that do not count any more, so that the others fit into one look."""
        view = self._shared.view(scope)
        if view.limit is not None:
            account.forget(now - Stretch.of(Rate(view.limit, view.window)).span)
