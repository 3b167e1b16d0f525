"""Where a Budget lives: makes it, and lets time pass for it without waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

from gateway.adapters.ledger import LocalBudget
from gateway.adapters.redis.connect.connection import Connection
from gateway.core.budget.window_log import OwnRates
from gateway.core.errors import CallWithheld
from gateway.core.vocabulary import Purpose
from gateway.flow.budget.replica_share import Shares
from gateway.ports import Budget
from tests.doubles.budgets import shares_on
from tests.doubles.clock import FakeClock
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.support.redis_cluster import client_of, keys_of


class World(Protocol):
    """One implementation of Budget, and its time."""

    @property
    def clock(self) -> FakeClock | RealClock:
        """The time that callers of the budget see."""
        ...

    def budget(
        self,
        limit: int | None,
        window: float,
        *,
        start_paced: bool = False,
        rates: OwnRates | None = None,
        sweep_share: float = 1.0,
    ) -> AbstractAsyncContextManager[Budget]:
        """A budget; on Redis all that are open at once share what replicas would share."""
        ...

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def shifted(self, seconds: float) -> float:
        """By how much a stamp has to be older after so much time has passed."""
        ...


class LocalWorld:
    """In memory, on a fake clock."""

    def __init__(self) -> None:
        self.clock: FakeClock | RealClock = FakeClock()

    @asynccontextmanager
    async def budget(
        self,
        limit: int | None,
        window: float,
        *,
        start_paced: bool = False,
        rates: OwnRates | None = None,
        sweep_share: float = 1.0,
    ) -> AsyncIterator[Budget]:
        yield LocalBudget(
            self.clock,
            limit,
            window,
            start_paced=start_paced,
            rates=rates,
            sweep_share=sweep_share,
        )

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def shifted(self, seconds: float) -> float:
        return 0.0


# What the book of a budget has beside times.
_NO_TIMES = (b"limit", b"full", b"of", b"life", b"expected")


class RedisWorld:
    """On a real Redis; time passes by making all that stands there older."""

    def __init__(self, url: str) -> None:
        self.clock: FakeClock | RealClock = RealClock()
        self._url = url
        self._shares: list[Shares] = []

    @asynccontextmanager
    async def budget(
        self,
        limit: int | None,
        window: float,
        *,
        start_paced: bool = False,
        rates: OwnRates | None = None,
        sweep_share: float = 1.0,
    ) -> AsyncIterator[Budget]:
        connection = Connection(self._url, self.clock, RecordingObserver(), timeout=30.0)
        assert await connection.check()
        shares = shares_on(
            connection,
            self.clock,
            limit,
            window,
            start_paced=start_paced,
            rates=rates,
            sweep_share=sweep_share,
        )
        self._shares.append(shares)
        try:
            yield shares
        finally:
            await connection.close()

    def shifted(self, seconds: float) -> float:
        return seconds * 1_000_000

    def advance(self, seconds: float) -> None:
        """Shift every stamp in Redis into the past; its clock has not gone on, which replicas
        must not take for one that was set."""
        self.clock.advance(seconds)
        for account in [each for made in self._shares for each in made._accounts.values()]:
            if account.known is not None:
                account.known = replace(account.known, at=account.known.at + seconds)
        with client_of(self._url) as client:
            _make_older(client, round(seconds * 1_000_000))


def _make_older(client: Any, shift: int) -> None:
    for key in [*keys_of(client, "gateway:{*}:w"), *keys_of(client, "gateway:{*}:w:*")]:
        stamps = [max(1, int(stamp) - shift) for stamp in client.zrange(key, 0, -1)]
        client.delete(key)
        client.zadd(key, {f"{stamp}": stamp for stamp in stamps})
    for key in keys_of(client, "gateway:{*}:b"):
        book = client.hgetall(key).items()
        for field, when in book:
            if field not in _NO_TIMES and not field.startswith((b"r", b"p", b"t", b"u")):
                client.hset(key, field, max(0, int(when) - shift))
    for key in keys_of(client, "gateway:{*}:g"):
        until, rest = client.get(key).split(b" ", 1)
        client.set(key, b"%d %s" % (int(until) - shift, rest))


async def look(budget: Budget, scope: str = "default") -> None:
    """Let the view be as it is."""
    if isinstance(budget, Shares):
        await budget.look([scope])


async def granted(budget: Budget, scope: str = "default") -> bool:
    """Whether a call may go."""
    try:
        await budget.take(scope, Purpose.MISS)
    except CallWithheld:
        return False
    return True


async def count_granted(budget: Budget, most: int = 1000) -> int:
    """How many calls may go at once."""
    for count in range(most):
        if not await granted(budget):
            return count
    return most
