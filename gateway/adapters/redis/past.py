"""The calls that stand in a budget's log: told to a replica, and by one where Redis lost them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.adapters.redis.accounts import AccountNames, micros, seconds
from gateway.adapters.redis.connection import Connection
from gateway.adapters.redis.script import Script
from gateway.core.status import RedisOperation
from gateway.ports import Spent

# Calls that are told one by one.
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Looked:
    """The calls, what holds of the limit and how much of it is left, and for how many seconds
    the gate is closed."""

    spent: Spent
    limit: int
    available: int
    closed_for: float


class Past:
    """Of each scope's log; `keep` (milliseconds) is how long an idle one is remembered."""

    def __init__(self, connection: Connection, names: AccountNames, keep: int) -> None:
        self._connection = connection
        self._names = names
        self._keep = keep
        self._look = Script.load("pace", "window", "look")
        self._hand_in = Script.load("pace", "window", "hand_in")

    async def look(self, scope: str, rule: Sequence[int]) -> Looked:
        """What stands there under a rule: limit, window (microseconds), windows in a season.

        The stamps are Redis' time in microseconds, which a float holds exactly.
        """
        names = self._names
        reply = await self._connection.run_script(
            RedisOperation.BUDGET,
            self._look,
            (names.log(scope), names.gate(scope), names.book(scope)),
            (*rule, _MOST),
            lambda reply: [int(each) for each in reply],
        )
        limit, closed_for, spent, every, now, life, *stamps = reply
        ages = [(now - stamp) / 1_000_000 for stamp in stamps for _ in range(every)]
        sent = [float(stamp) for stamp in stamps if stamp <= now]
        closed = seconds(b"%d" % closed_for)
        return Looked(Spent(ages, sent, life), limit, max(0, limit - spent), closed)

    async def hand_in(
        self, scope: str, window: int, ages: Sequence[float], known: Sequence[float] | None
    ) -> None:
        """Add calls by their ages, and those known by their stamps; `window` in microseconds.
        Where there was no log, nothing is granted until the others had time to tell, too."""
        has_seen, stamps = int(known is not None), [f"{stamp:.0f}" for stamp in known or ()]
        await self._connection.run_script(
            RedisOperation.BUDGET,
            self._hand_in,
            (self._names.log(scope), self._names.book(scope)),
            (window, self._keep, has_seen, len(ages), *map(micros, ages), *stamps),
            lambda _: None,
        )
