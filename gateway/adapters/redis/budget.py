"""Budget on Redis: one window and one gate for all replicas, on Redis' clock.

Lives here: keys, arguments, and what was last seen. The decisions are in take.lua, close.lua
and reopen.lua, which follow core/pacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cachetools import LRUCache

from gateway.adapters.redis.accounts import AccountNames, Seen, micros, numbers, seconds
from gateway.adapters.redis.connection import Connection
from gateway.adapters.redis.past import Past
from gateway.adapters.redis.script import Script
from gateway.core.errors import BudgetExhausted, GateClosed
from gateway.core.hints import Stated
from gateway.core.pacing import FIRST_HOLD, LAST_HOLD, LONGEST_HOLD, SHORTEST_HOLD
from gateway.core.ranks import RANKS, rank_of
from gateway.core.rates import NEWCOMERS, OwnRates, Rate
from gateway.core.status import Purpose, RedisOperation
from gateway.core.stretch import Stretch
from gateway.ports import BudgetView, Charge, Clock, Spent

# How long an idle budget is remembered. One that is forgotten starts paced.
_KEEP = 24 * 3600 * 1000
_SCOPES_SEEN = 10_000


class RedisBudget:
    """At most `limit` calls (None: any number) of all replicas in any `window` seconds.

    A call counts for the window and a margin for its way to the upstream, which may differ
    from call to call: a second, or a tenth of a short window. After a flush or a loss the past
    is unknown: a tenth of the limit may go at once, the rest at the mean rate until a window
    has passed; `start_paced` False trusts that nothing was sent. `probe_patience` (seconds):
    how long the probe of a gate due to reopen keeps others away. `rates` knows the scopes that
    have another rate; `sweep_share` in (0, 1] is the most that the sweep may have of one.
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        clock: Clock,
        limit: int | None,
        window: float,
        *,
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
        self._past = Past(connection, self._names, _KEEP)
        self._seen: LRUCache[str, Seen] = LRUCache(_SCOPES_SEEN)
        self._take = Script.load("pace", "window", "take")
        self._enter = Script.load("pace", "enter")
        self._close = Script.load("pace", "window", "close")
        self._learn = Script.load("pace", "window", "learn")
        self._reopen = Script.load("pace", "reopen")

    async def take(
        self, scope: str, purpose: Purpose, *, guessed: bool = False, patience: float = 0.0
    ) -> Charge:
        """Charge one call whose turn comes within `patience` seconds; raises BudgetExhausted,
        which says when to come back, or GateClosed, also while Redis hears again what it lost.

        The stamp is Redis' time in microseconds, which a float holds exactly.
        """
        rule = self._rule(scope)
        seen = await self._run_take(
            scope, rule, RANKS.index(rank_of(purpose, guessed=guessed)) + 1, patience
        )
        self._seen[scope] = seen
        if seen.word == "settling":
            what = "Redis has forgotten what was spent, and hears it from the replicas"
            raise GateClosed(what, retry_after=seen.wait)
        if seen.word == "closed":
            raise _closed(seen.wait, seen.is_probed)
        if seen.word == "exhausted":
            limit, window = self._shown(scope)
            raise BudgetExhausted.of(limit, window, retry_after=seen.wait)
        return Charge(float(seen.stamp), seen.wait)

    async def pass_gate(self, scope: str) -> Charge:
        """Ask the gate alone: nothing is spent. Raises GateClosed; one is let through as the
        probe of a gate that is due to reopen."""
        seen = await self._run_take(scope, (0, *self._rule(scope)[1:]), rank=1, patience=0.0)
        self._note_gate(scope, seen.closed_until - self._clock.monotonic())
        if seen.word == "closed":
            raise _closed(seen.wait, seen.is_probed)
        return Charge(float(seen.stamp))

    async def _run_take(
        self, scope: str, rule: tuple[int, ...], rank: int, patience: float
    ) -> Seen:
        return await self._connection.run_script(
            RedisOperation.BUDGET,
            self._take,
            (
                self._names.log(scope),
                self._names.gate(scope),
                self._names.book(scope),
                *self._names.ranks(scope),
            ),
            (
                *rule,
                rank,
                micros(patience),
                int(self._is_paced(scope) and scope in self._seen),
                *numbers(rule[0] or None, self._sweep_share),
            ),
            self._read,
        )

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """The turn that was waited for has come: the charge counts from now; None where it is
        lost, or undone by a 429. Raises GateClosed where that still closes the gate."""
        closed_for, stamp, is_probed = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._enter,
            (self._names.log(scope), self._names.gate(scope), *self._names.ranks(scope)),
            (f"{charge.stamp:.0f}",),
            lambda reply: (seconds(reply[0]), float(int(reply[1])), int(reply[2]) == 1),
        )
        if closed_for > 0.0:
            self._note_gate(scope, closed_for)
            raise _closed(closed_for, is_probed)
        return Charge(stamp, charge.wait) if stamp > 0.0 or self._is_unlimited(scope) else None

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge, once: the call provably never left."""
        await self._end_probe(scope, f"{charge.stamp:.0f}")

    async def learn(self, scope: str, said: Stated) -> None:
        """The upstream said what is left of the limit, or what the limit is."""
        limit, span, parts, *_ = self._rule(scope)
        if limit == 0:
            return
        named = 0 if said.quota is None or said.window is None else said.quota / said.window
        left = -1 if said.remaining is None or said.reset is None else said.remaining
        quota = max(1, int(named * span / 1_000_000)) if named > 0 else 0
        holds, available = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._learn,
            (self._names.log(scope), self._names.book(scope)),
            (limit, span, parts, _KEEP, quota, left, micros(said.reset or 0.0)),
            lambda reply: (int(reply[0]), int(reply[1])),
        )
        self._seen[scope] = replace(self._last(scope), limit=holds, available=available)

    async def close(
        self, scope: str, retry_after: float | None, *, is_refusal: bool = True
    ) -> float:
        """Close the gate; seconds until it may reopen. A 429 (`is_refusal`) lowers the limit."""
        limit, span, parts, *_ = self._rule(scope)
        named = "" if retry_after is None else f"{retry_after:.6f}"
        holds = tuple(map(str, (FIRST_HOLD, LAST_HOLD, SHORTEST_HOLD, LONGEST_HOLD)))
        closed_for = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._close,
            (
                *(self._names.gate(scope), self._names.log(scope), self._names.book(scope)),
                *self._names.ranks(scope),
            ),
            (
                *(named, f"{self._clock.jitter():.6f}", *holds),
                *(_KEEP, limit, span, parts, int(is_refusal)),
            ),
            lambda reply: seconds(reply[0]),
        )
        self._note_gate(scope, closed_for)
        return closed_for

    async def look(self, scope: str) -> Spent:
        """The calls of the last window."""
        looked = await self._past.look(scope, self._rule(scope)[:3])
        until = self._clock.monotonic() + looked.closed_for
        self._seen[scope] = Seen("", 0.0, looked.available, until, limit=looked.limit)
        return looked.spent

    async def hand_in(
        self, scope: str, ages: Sequence[float], known: Sequence[float] | None = None
    ) -> None:
        """Charge calls that were made so many seconds ago, paid from elsewhere; and those of
        these stamps, as they were seen here, that are not known any more."""
        if self._is_unlimited(scope):
            return  # nothing is counted
        await self._past.hand_in(scope, self._rule(scope)[1], ages, known)

    async def reopen(self, scope: str) -> bool:
        """An answer other than 429 came: opens a gate that is probed or due; whether it did."""
        return await self._end_probe(scope, "")

    async def _end_probe(self, scope: str, never_sent: str) -> bool:
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
        """The budget as the last reply had it; full where there was none."""
        seen, rate = self._last(scope), self._rates.of(scope, self._usual)
        closed_for = max(0.0, seen.closed_until - self._clock.monotonic())
        if rate is None:
            return BudgetView(None, self._window, None, closed_for)
        stretch = Stretch.of(rate)
        holds = min(stretch.limit, seen.limit or stretch.limit)
        available = stretch.whole(min(holds, seen.available), rate)
        return BudgetView(stretch.whole(holds, rate), rate.window, available, closed_for)

    def _rule(self, scope: str) -> tuple[int, ...]:
        rate = self._rates.of(scope, self._usual)
        stretch = Stretch(0, self._window, 1) if rate is None else Stretch.of(rate)
        most = stretch.limit
        free = max(1, most // 10) if self._is_paced(scope) else most
        span, patience = micros(stretch.span), micros(self._probe_patience)
        return most, span, stretch.parts, free, patience, _KEEP

    def _is_paced(self, scope: str) -> bool:
        # Newcomers pay the whole budget as well, which is paced.
        return self._start_paced and scope != NEWCOMERS

    def _is_unlimited(self, scope: str) -> bool:
        return self._rates.of(scope, self._usual) is None

    def _shown(self, scope: str) -> tuple[int | None, float]:
        rate = self._rates.of(scope, self._usual)
        return (None, self._window) if rate is None else (rate.limit, rate.window)

    def _read(self, reply: Sequence[Any]) -> Seen:
        word, wait, available, closed_for, stamp, probed, limit = reply
        closed_until = self._clock.monotonic() + seconds(closed_for)
        counted = int(available), closed_until, int(stamp)
        told = (word.decode(), seconds(wait), *counted)
        return Seen(*told, is_probed=int(probed) == 1, limit=int(limit))

    def _last(self, scope: str) -> Seen:
        return self._seen.get(scope) or Seen("", 0.0, self._rule(scope)[0], 0.0)

    def _note_gate(self, scope: str, closed_for: float) -> None:
        until = self._clock.monotonic() + closed_for
        self._seen[scope] = replace(self._last(scope), closed_until=until)


def _closed(wait: float, is_probed: bool) -> GateClosed:
    return GateClosed("upstream asked to wait", retry_after=wait, is_probed=is_probed)
