"""The upstream is down for an hour, seen by three replicas on one Redis."""

from __future__ import annotations

from gateway.core.cache.entry import Key
from gateway.core.http.fields import Reply
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import KEY, OURS, Redis, Replica, minute_of, ok, says

KEYS = [Key("p1", f"trn_{number}") for number in range(1, 11)]


class Outage:
    """The replicas, all of whose callers read all ids again and again."""

    def __init__(self, keys: list[Key]) -> None:
        self.clock, self.keys = FakeClock(), keys
        redis = Redis(self.clock)
        self.replicas = [Replica(self.clock, redis, caller=OURS) for _ in range(3)]

    @property
    def calls(self) -> int:
        """How many were made."""
        return sum(replica.upstream.count for replica in self.replicas)

    async def begin(self) -> None:
        """Store each training, and let each call fail from then on."""
        for key in self.keys:
            await self.replicas[0].fill(1, key)
        for replica in self.replicas:
            replica.upstream.always = says(503)

    async def pass_time(self, seconds: float, step: float) -> list[int]:
        """Read all ids each step for so long; the versions answered last."""
        versions = []
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            answers = [await each.get(key) for each in self.replicas for key in self.keys]
            versions = [minute_of(answer) for answer in answers]
            for replica in self.replicas:
                await replica.land()
        return versions


async def answer(call: Call) -> Reply:
    """The upstream is back, with a later version."""
    return ok(2, training_id=call.training_id)


async def test_an_hour_without_the_upstream() -> None:
    """Every stored id is answered, calls decay to probes, and then each is fetched once."""
    outage = Outage(KEYS)
    await outage.begin()

    assert await outage.pass_time(1800.0, 30.0) == [1] * 30
    before = outage.calls
    assert await outage.pass_time(1800.0, 30.0) == [1] * 30
    # One probe of each replica in about half a minute.
    assert 0 < outage.calls - before <= 3 * 1800 / 15

    for replica in outage.replicas:
        replica.upstream.always = answer
    before = outage.calls
    assert await outage.pass_time(90.0, 10.0) == [2] * 30
    assert outage.calls - before <= 3 * len(KEYS)


async def test_each_replica_asks_for_one_training_once_a_minute() -> None:
    """The pauses of each replica grow to a minute, read every second as it is."""
    outage = Outage([KEY])
    await outage.begin()
    outage.clock.advance(30.0)
    before, made = outage.calls, []

    for seconds in (60.0, 230.0, 300.0):
        await outage.pass_time(seconds, 1.0)
        made.append(outage.calls - before)

    assert made == [18, 30, 45]
