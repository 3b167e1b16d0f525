"""The budget on Redis: one window of calls and one gate for all replicas, on Redis' clock.

The scripts in lua/budget.lua have the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from cachetools import LRUCache

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.adapters.redis.connect.transport import all_of
from gateway.adapters.redis.keys import AccountNames
from gateway.core.budget.breaker import FIRST_HOLD, LAST_HOLD, LONGEST_HOLD, SHORTEST_HOLD
from gateway.core.budget.priority import RANKS, portions, rank_of
from gateway.core.budget.window_log import MOST_KEPT, OwnRates, Rate, Stretch
from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.vocabulary import Purpose, RedisOperation
from gateway.ports import BudgetView, Charge, Clock, Closed, KnownBudget, Looking

# How long Redis keeps an idle budget (ms).
_KEEP = 24 * 3600 * 1000
_SCOPES_SEEN = 10_000
# A replica reports to Redis twice a second (`look`). After `_SILENCE` seconds without a report, the
# replica has perhaps lost Redis, and spends its part of the limit. So Redis grants this part to no
# other replica. The replica is forgotten if it does not report for `_GONE` seconds plus one stretch
# (see `Stretch` in core/budget/window_log).
_SILENCE: Final = 1.5
_GONE: Final = 60.0
# If Redis' time differs from the expected time by more than these seconds plus the error of the
# round trips, Redis' clock has jumped.
_JUMP: Final = 0.25
# A reply to `look` has at most this many ages of calls. If there are more calls, each age stands
# for several.
_MOST_TOLD: Final = MOST_KEPT


@dataclass(frozen=True, slots=True)
class BudgetReply:
    """The last reply about one scope. `word` is the outcome of `take` ("": not a reply to `take`).
    The gate is closed until the monotonic time `closed_until`. `stamp` is the time of a granted
    call, on Redis' clock. `replicas`: how many replicas divide the limit (0: the reply does not
    tell)."""

    word: str
    wait: float
    available: int
    closed_until: float
    stamp: int = 0
    is_probed: bool = False
    limit: int = 0
    replicas: int = 0


def portion_numbers(limit: int | None, sweep_share: float) -> tuple[int, ...]:
    """Floor, ceiling and `always` (1 or 0) of each rank (see `Portion` in core/budget/priority).
    Without a limit, all are 0."""
    if limit is None:
        return (0, 0, 0) * len(RANKS)
    of = portions(limit, sweep_share)
    return tuple(
        number
        for rank in RANKS
        for number in (of[rank].floor, of[rank].ceiling, int(of[rank].always))
    )


def micros(seconds: float) -> int:
    """Whole microseconds."""
    return round(seconds * 1_000_000)


def seconds(micros: bytes) -> float:
    """Seconds, from the microseconds in a reply."""
    return int(micros) / 1_000_000


class RedisBudget:
    """The SharedBudget: all replicas together make at most `limit` calls in any `window` seconds.

    limit           None: any number of calls
    name            the name of this replica in Redis. No other replica has the same name
    start_paced     True: if no replica knows the earlier calls, a tenth of the calls of a stretch
                    is free at first. The other calls are granted at even intervals (see `Stretch`
                    in core/budget/window_log)
    probe_patience  seconds for which a probe without an answer stops other calls
    rates           the scopes with a rate of their own
    sweep_share     the largest part of a limit that the sweep can use, in (0, 1]
    """

    silence: float = _SILENCE

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        clock: Clock,
        limit: int | None,
        window: float,
        *,
        name: str,
        start_paced: bool = True,
        probe_patience: float = 15.0,
        rates: OwnRates | None = None,
        sweep_share: float = 1.0,
    ) -> None:
        self._sweep_share = sweep_share
        self._connection = connection
        self._names = AccountNames(prefix)
        self._clock = clock
        self._usual = None if limit is None else Rate(limit, window)
        self._window = window
        self._rates = rates or OwnRates()
        self._start_paced = start_paced
        self._probe_patience = probe_patience
        self._name = name
        self._seen: LRUCache[str, BudgetReply] = LRUCache(_SCOPES_SEEN)
        self._take = Script.load("budget", "take")
        self._look = Script.load("budget", "look")
        self._enter = Script.load("budget", "enter")
        self._close = Script.load("budget", "close")
        self._reopen = Script.load("budget", "reopen")

    def is_there(self, scope: str) -> bool:
        """As SharedBudget.is_there."""
        return self._connection.is_up

    async def take(
        self,
        scope: str,
        purpose: Purpose,
        known: KnownBudget | None,
        *,
        patience: float = 0.0,
    ) -> Charge | None:
        """As SharedBudget.take. The stamp of the charge is the time of the call on Redis' clock, in
        microseconds."""
        rule = self._rule(scope)
        if known is None and rule[0] > 0:
            return None
        rank = RANKS.index(rank_of(purpose)) + 1
        seen = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._take,
            self._names.all(scope),
            (
                *(*rule, micros(self._probe_patience), _KEEP, rank, micros(patience), self._name),
                *self._as_known(known),
                *_silence_limits(rule),
                *portion_numbers(rule[0] or None, self._sweep_share),
            ),
            self._read,
        )
        if seen.word in ("look", "clock"):
            return None
        self._seen[scope] = replace(seen, replicas=seen.replicas or self._last(scope).replicas)
        if seen.word == "settling":
            what = "Redis has lost the record of spent calls, and the replicas report them again"
            raise GateClosed(what, retry_after=seen.wait, is_probed=True)
        if seen.word == "closed":
            raise _closed(seen.wait, seen.is_probed)
        if seen.word in ("exhausted", "passing"):
            view = self.view(scope)
            exhausted = BudgetExhausted.of(view.limit, view.window, retry_after=seen.wait)
            exhausted.is_passing = seen.word == "passing"
            raise exhausted
        return Charge(float(seen.stamp), seen.wait)

    def _as_known(self, known: KnownBudget | None) -> tuple[int, ...]:
        """Arguments of the script `take`: the life and Redis' time in the last look, the time that
        Redis' clock should show now, and how wrong this expected time can be."""
        if known is None:
            return (0, 0, 0, 0)
        now, error = _expected_stamp(known, self._clock.monotonic()), micros(known.error + _JUMP)
        return (known.life, known.stamp, now, error)

    async def look(self, asked: Sequence[Looking]) -> list[KnownBudget]:
        """As SharedBudget.look. If Redis' clock has jumped, the times of the calls in Redis are
        wrong. A second look then makes Redis forget these calls."""
        found = await self._ask_all(asked, [0] * len(asked))
        to_end = [
            known.life
            if look.known and look.known.life == known.life and _has_jumped(look.known, known)
            else 0
            for look, known in zip(asked, found, strict=True)
        ]
        return await self._ask_all(asked, to_end) if any(to_end) else found

    async def _ask_all(self, asked: Sequence[Looking], to_end: Sequence[int]) -> list[KnownBudget]:
        """The state of each scope. `to_end` has, for each scope, the life that Redis has to end,
        because the calls of this life have wrong times (0: none)."""
        sent = self._clock.monotonic()
        calls = [
            (self._names.all(look.scope), self._arguments(look, life))
            for look, life in zip(asked, to_end, strict=True)
        ]
        replies = await self._connection.run_many(
            RedisOperation.BUDGET, self._look, calls, lambda reply: [int(each) for each in reply]
        )
        now = self._clock.monotonic()
        return [
            self._heard(look.scope, reply, now, now - sent)
            for look, reply in zip(asked, replies, strict=True)
        ]

    def _arguments(self, look: Looking, to_end: int) -> tuple[str | int, ...]:
        limit, span, parts = rule = self._rule(look.scope)
        known, floors = look.known, portion_numbers(limit, self._sweep_share)[::3]
        free = max(1, limit // 10) if self._start_paced else limit
        seen = (0, 0, 0, 0)
        if known is not None:
            # The count of replicas does not include those that have probably ended (`absent`).
            # Otherwise, if Redis loses its data again, all calls would wait for reports of replicas
            # that have ended.
            seen = (known.life, known.stamp, known.replicas - known.absent, known.part)
        ages, stamps = _reported(look)
        return (
            *(
                limit,
                span,
                parts,
                _KEEP,
                free,
                _MOST_TOLD,
                self._name,
                *seen,
                look.claim,
                to_end,
                *_silence_limits(rule),
            ),
            *(len(ages), *chain.from_iterable(ages), *floors, *stamps),
        )

    def _heard(self, scope: str, reply: Sequence[int], now: float, took: float) -> KnownBudget:
        holds, closed_for, spent, every, stamp, life, replicas, *rest = reply
        absent, claim, part, share, *ages = rest
        until = now + closed_for / 1_000_000
        available = max(0, holds - spent)
        self._seen[scope] = BudgetReply("", 0.0, available, until, limit=holds, replicas=replicas)
        told = [age / 1_000_000 for age in ages for _ in range(every)]
        parts = (claim, part, share)
        return KnownBudget(life, stamp, now, took, replicas, holds, *parts, told, absent)

    async def leave(self, scopes: Sequence[str]) -> None:
        """As SharedBudget.leave."""
        await all_of(map(self._leave, map(self._names.book, scopes)))

    async def _leave(self, book: str) -> None:
        mine = [f"{field}{self._name}" for field in "rpu"]
        await self._connection.execute(
            RedisOperation.BUDGET, lambda client: client.hdel(book, *mine)
        )

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """As Charging.enter. Returns None if only a probe may be sent now, and this call is not the
        probe. Also returns None if Redis no longer has the charge, or if the calls that are now
        kept for other replicas leave no room for this call."""
        rule = self._rule(scope)
        closed_for, stamp, is_probed = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._enter,
            self._names.all(scope),
            (f"{charge.stamp:.0f}", self._name, *rule, *_silence_limits(rule), _KEEP),
            lambda reply: (seconds(reply[0]), float(int(reply[1])), int(reply[2]) == 1),
        )
        if closed_for > 0.0:
            self._note_gate(scope, closed_for)
            raise _closed(closed_for, is_probed)
        return Charge(stamp, charge.wait) if stamp > 0.0 else None

    async def give_back(self, scope: str, charge: Charge) -> None:
        """As Charging.give_back. If a charge were given back twice, the second time could undo a
        later charge with the same stamp."""
        await self._run_reopen(scope, f"{charge.stamp:.0f}")

    async def close(self, scope: str, retry_after: float | None) -> Closed:
        """As Charging.close. If the gate is closed and no probe is under way, the 429 does not
        lower the limit, because the refused call was sent before the gate closed."""
        limit, span, parts = self._rule(scope)
        named = "" if retry_after is None else f"{retry_after:.6f}"
        holds = tuple(map(str, (FIRST_HOLD, LAST_HOLD, SHORTEST_HOLD, LONGEST_HOLD)))
        closed, now_allowed = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._close,
            (
                *(self._names.gate(scope), self._names.log(scope), self._names.book(scope)),
                *self._names.ranks(scope),
            ),
            (named, f"{self._clock.jitter():.6f}", *holds, _KEEP, limit, span, parts),
            lambda reply: (Closed(seconds(reply[0]), int(reply[1]) == 1), int(reply[2])),
        )
        self._note_gate(scope, closed.seconds, limit=now_allowed)
        return replace(closed, limit=self.view(scope).limit)

    async def reopen(self, scope: str) -> bool:
        """As Charging.reopen."""
        return await self._run_reopen(scope, "")

    async def _run_reopen(self, scope: str, never_sent: str) -> bool:
        """Undo the charge with the stamp `never_sent`. If `never_sent` is empty, note that an
        answer other than 429 came. Returns whether the gate was opened."""
        closed_for, opened = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._reopen,
            (self._names.log(scope), self._names.gate(scope), *self._names.ranks(scope)),
            (never_sent, _KEEP),
            lambda reply: (seconds(reply[0]), int(reply[1]) == 1),
        )
        self._note_gate(scope, closed_for)
        return opened

    def view(self, scope: str) -> BudgetView:
        """As Charging.view. Before the first reply, all calls count as free."""
        seen, rate = self._last(scope), self._rates.of(scope, self._usual)
        closed_for = max(0.0, seen.closed_until - self._clock.monotonic())
        if rate is None:
            return BudgetView(None, self._window, None, closed_for)
        stretch = Stretch.of(rate)
        holds = min(stretch.limit, seen.limit or stretch.limit)
        available = stretch.whole(min(holds, seen.available), rate)
        limit, replicas = stretch.whole(holds, rate), max(1, seen.replicas)
        return BudgetView(limit, rate.window, available, closed_for, replicas)

    def _rule(self, scope: str) -> tuple[int, int, int]:
        """One stretch: its limit (0: no limit), its length in microseconds, and how many stretches
        the window has."""
        rate = self._rates.of(scope, self._usual)
        stretch = Stretch(0, self._window, 1) if rate is None else Stretch.of(rate)
        return stretch.limit, micros(stretch.span), stretch.parts

    def _read(self, reply: Sequence[Any]) -> BudgetReply:
        word, wait, available, closed_for, stamp, probed, limit, replicas = reply
        closed_until = self._clock.monotonic() + seconds(closed_for)
        counted = int(available), closed_until, int(stamp)
        told = (word.decode(), seconds(wait), *counted)
        return BudgetReply(*told, int(probed) == 1, int(limit), int(replicas))

    def _last(self, scope: str) -> BudgetReply:
        return self._seen.get(scope) or BudgetReply("", 0.0, self._rule(scope)[0], 0.0)

    def _note_gate(self, scope: str, closed_for: float, *, limit: int = 0) -> None:
        """Note how long the gate is closed, and the present limit (0: not known)."""
        last, until = self._last(scope), self._clock.monotonic() + closed_for
        self._seen[scope] = replace(last, closed_until=until, limit=limit or last.limit)


def _closed(wait: float, is_probed: bool) -> GateClosed:
    return GateClosed("the API asked the gateway to wait", retry_after=wait, is_probed=is_probed)


def _silence_limits(rule: tuple[int, int, int]) -> tuple[int, int]:
    """Microseconds without a report until a replica counts as silent, and until it is forgotten."""
    _, span, _ = rule
    return micros(_SILENCE), micros(_GONE) + span


def _expected_stamp(known: KnownBudget, now: float) -> int:
    """The time (in microseconds) that Redis' clock should show at `now` (monotonic)."""
    return known.stamp + micros(now - known.at)


def _reported(look: Looking) -> tuple[list[tuple[int, int]], list[int]]:
    """The calls that a look reports, in two lists. The first list has the number and the age of a
    call, the second list has only its stamp on Redis' clock. Ages and stamps are in microseconds.

    After a loss of Redis' data, the second list has the calls that Redis had before the loss, as
    far as this replica knows them. A stamp that several replicas report counts once. If Redis'
    clock has jumped too, the stamps are wrong. This replica then reports only its own calls, all in
    the first list.
    """
    ages, earlier = [(each.number, micros(each.age)) for each in look.untold], look.earlier
    if earlier is None or look.known is None or _has_jumped(earlier, look.known):
        return [*ages, *((each.number, micros(each.age)) for each in look.made)], []
    seen = (earlier.stamp - micros(age) for age in earlier.ages if age >= 0.0)
    granted = (round(each.charge.stamp) for each in look.made if not each.charge.is_share)
    return ages, sorted({*seen, *granted})


def _has_jumped(before: KnownBudget, after: KnownBudget) -> bool:
    """Whether Redis' clock has jumped between two replies: it did not advance by the same time as
    this replica's clock, and the errors of the round trips do not explain the difference."""
    ahead = (after.stamp - _expected_stamp(before, after.at)) / 1_000_000
    return not -after.error - _JUMP <= ahead <= before.error + _JUMP
