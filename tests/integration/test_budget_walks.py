"""Replicas that join, lose Redis and read other limits, in any order: the limit holds.

The scripts run in a real Redis. Its time, and that of the replicas, is the time of the walk.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from enum import StrEnum
from hashlib import sha1

import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.adapters.ledger import LocalBudget
from gateway.adapters.redis.budget import RedisBudget
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.core.budget.window_log import OwnRates, Rate, transit
from gateway.core.errors import CallWithheld, RedisUnavailable
from gateway.core.vocabulary import Purpose
from gateway.flow.budget.replica_share import LOOK, Shares
from tests.doubles.clock import FakeClock
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.support import redis_acl

SCOPE, WINDOW = "default", 10.0
# For so long a call counts. A little less, since these times are sums of fractions.
COUNTS = WINDOW + transit(WINDOW) - 0.01
LIMITS = [9, 12, 20, 24]
# A part is kept for a replica that is cut off for a minute. After a loss of data the replicas
# report within a look. Another replica has a part after two looks.
KEPT, SEEN = 55.0, 1.1

# Redis' time is what the walk says, and a microsecond more each time that it is read.
_TIME = """(function()
  local micros = redis.call('INCR', 'gateway:walk:micros')
  return { string.format('%.0f', math.floor(micros / 1000000)), micros % 1000000 }
end)()"""


def on_walk_time(script: Script) -> Script:
    """The same script, on the time of the walk."""
    text = script.text.replace("redis.call('TIME')", _TIME)
    assert text != script.text
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


class Way(StrEnum):
    """How Redis answers a replica."""

    UP = "up"
    DOWN = "down"
    MUTE = "mute"  # it does what it is asked to, and the answer is lost


class Walker:
    """One replica."""

    def __init__(self, walk: Walk, name: str) -> None:
        self.name, self.way, self.alive = name, Way.UP, 1
        self.rates = OwnRates()
        self._walk = walk
        clock, limit = walk.clock, LIMITS[0]
        shared = RedisBudget(
            walk.connection,
            "gateway",
            clock,
            limit,
            WINDOW,
            name=name,
            start_paced=False,
            rates=self.rates,
        )
        for each in ("_take", "_look"):
            setattr(shared, each, on_walk_time(getattr(shared, each)))
        for each in ("take", "look"):
            setattr(shared, each, self._spoilt(getattr(shared, each)))
        setattr(shared, "is_there", lambda _scope: self.way is not Way.DOWN)  # noqa: B010
        own = LocalBudget(clock, limit, WINDOW, start_paced=False, rates=self.rates)
        self._shares = Shares(shared, own, clock, lambda: self.alive, scopes=lambda: (SCOPE,))

    def _spoilt(self, ask: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def asked(*given: object, **named: object) -> object:
            if self.way is Way.DOWN:
                raise RedisUnavailable("budget", "down")
            answer = await ask(*given, **named)
            if self.way is Way.MUTE:
                raise RedisUnavailable("budget", "mute")
            return answer

        return asked

    async def look(self) -> None:
        """As twice a second. A replica that hears Redis also learns how many there are."""
        await self._shares.look_at_all()
        if self.way is Way.UP:
            self.alive = self._walk.beat(self.name)

    async def spend(self, most: int) -> None:
        """Make so many calls, or as many as it may."""
        for _ in range(most):
            try:
                await self._shares.take(SCOPE, Purpose.MISS)
            except CallWithheld:
                return
            self._walk.calls.append(self._walk.clock.monotonic())


class Walk:
    """Some replicas on one Redis, and their calls."""

    def __init__(self, connection: Connection, client: redis.Redis, limit: int) -> None:
        self.clock = FakeClock()
        self.connection = connection
        self.calls: list[float] = []
        self.walkers: list[Walker] = []
        self._client, self._beats = client, dict[str, float]()
        self._limits = [(-math.inf, limit)]
        self._moved_at = -math.inf  # when Redis came back, or lost its data
        self._cut_at = self._flushed_at = -math.inf
        self.flush()
        for _ in range(3):
            self._join()

    def beat(self, name: str) -> int:
        """Note a sign of life. Returns how many replicas are alive."""
        now = self._beats[name] = self.clock.monotonic()
        return sum(now - at <= 5.0 for at in self._beats.values())

    def flush(self) -> None:
        """Redis loses its data."""
        self._client.flushall()
        self._set_time()
        self._moved_at = self._flushed_at = self.clock.monotonic()

    def _set_time(self) -> None:
        self._client.set("gateway:walk:micros", round(self.clock.now() * 1_000_000))

    def _join(self) -> None:
        self.walkers.append(Walker(self, f"n{len(self.walkers)}"))
        self.walkers[-1].rates.replace({SCOPE: Rate(self._limits[-1][1], WINDOW)})

    async def live(self, seconds: float, most: int) -> None:
        """Let each look twice a second, and make at most so many calls each time."""
        ends = self.clock.monotonic() + seconds
        while True:
            for each in self.walkers:
                await each.look()
                await each.spend(most)
            left = ends - self.clock.monotonic()
            if left <= 0.0:
                return
            self.clock.advance(min(LOOK, left))
            self._set_time()

    async def move(self, what: str, number: int, limit: int, most: int, pause: float) -> None:
        """One event, and some time after it."""
        one = self.walkers[number % len(self.walkers)]
        now, is_cut = self.clock.monotonic(), any(each.way is Way.DOWN for each in self.walkers)
        match what:
            case "rate":
                self._limits.append((now, limit))
                for each in self.walkers:
                    each.rates.replace({SCOPE: Rate(limit, WINDOW)})
            case "lose" | "cut" if not is_cut:
                self._cut_at = now
                for each in self.walkers if what == "lose" else [one]:
                    each.way = Way.DOWN
            case "mute" if one.way is Way.UP:
                one.way = Way.MUTE
            case "return":
                self._return()
            case "flush" if now - self._flushed_at > KEPT + 2 * WINDOW or not is_cut:
                self.flush()
            case "join" if not is_cut and now - self._moved_at > SEEN:
                self._return()  # a muted one hears again
                self._join()
                pause = max(pause, SEEN)
            case _:
                await one.spend(most)
        if now + pause - self._cut_at > KEPT:
            self._return()
        await self.live(pause, most) if pause else await one.look()

    def _return(self) -> None:
        for each in self.walkers:
            each.way = Way.UP
        self._moved_at = self.clock.monotonic()

    @property
    def excess(self) -> int:
        """By how much the fullest window exceeds the highest limit that held in it."""
        return max((self._excess(at) for at in self.calls), default=0)

    def _excess(self, end: float) -> int:
        since = end - COUNTS
        before = [limit for at, limit in self._limits if at <= since]
        held = [before[-1], *(limit for at, limit in self._limits if since < at <= end)]
        return sum(since < at <= end for at in self.calls) - max(held)


moves = st.tuples(
    st.sampled_from(["spend", "rate", "rate", "lose", "cut", "mute", "return", "flush", "join"]),
    st.integers(0, 3),
    st.sampled_from(LIMITS),
    st.sampled_from([0, 1, 3, 100]),
    st.sampled_from([0.0, 0.0, 0.2, 0.5, 1.0, 2.0, 6.0]),
)

# The limit is lowered after all of it was spent. Redis is lost before all replicas have seen that.
LOWERED = [
    ("spend", 0, 0, 100, 0.5),
    ("rate", 0, 9, 0, 0.0),
    ("lose", 0, 0, 100, 6.0),
]


# One server is started for all walks.
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(LIMITS), st.lists(moves, max_size=14))
@example(24, LOWERED)
def test_the_limit_holds_on_any_walk(
    redis_url: str, limit: int, happened: list[tuple[str, int, int, int, float]]
) -> None:
    """In each window, the highest limit that held in it."""

    async def go() -> Walk:
        connection = Connection(redis_url, RealClock(), RecordingObserver(), timeout=30.0)
        assert await connection.check()
        with redis.Redis.from_url(redis_acl.without(redis_url)) as client:
            walk = Walk(connection, client, limit)
            await walk.live(1.5, 0)
            for each in happened:
                await walk.move(*each)
            await walk.live(2.0, 100)
        await connection.close()
        return walk

    assert asyncio.run(go()).excess <= 0
