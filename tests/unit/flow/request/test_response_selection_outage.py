"""The upstream is down for an hour, seen by three replicas on one Redis."""

from __future__ import annotations

from gateway.core.cache.entry import Key
from gateway.core.http.fields import Reply
from gateway.ports import Call
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, Redis, Replica, minute_of, ok, says

KEYS = [Key("p1", f"trn_{number}") for number in range(1, 21)]
STEP = 5.0


class Outage:
    """The replicas, all of whose callers read all ids again and again."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        redis = Redis(self.clock)
        self.replicas = [Replica(self.clock, redis, caller=OURS) for _ in range(3)]

    @property
    def calls(self) -> int:
        """How many were made."""
        return sum(replica.upstream.count for replica in self.replicas)

    async def pass_time(self, seconds: float) -> list[int]:
        """Read all ids each five seconds for so long; the versions answered last."""
        versions = []
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            versions = [minute_of(await each.get(key)) for each in self.replicas for key in KEYS]
            for replica in self.replicas:
                await replica.land()
        return versions


async def answer(call: Call) -> Reply:
    """The upstream is back, with a later version."""
    return ok(2, training_id=call.training_id)


async def test_an_hour_without_the_upstream() -> None:
    """Every stored id is answered, calls decay to probes, and then each is fetched once."""
    outage = Outage()
    for key in KEYS:
        await outage.replicas[0].fill(1, key)
    for replica in outage.replicas:
        replica.upstream.always = says(503)

    assert await outage.pass_time(1800.0) == [1] * 60
    before = outage.calls
    assert await outage.pass_time(1800.0) == [1] * 60
    # One probe of each replica in about half a minute.
    assert 0 < outage.calls - before <= 3 * 1800 / 15

    for replica in outage.replicas:
        replica.upstream.always = answer
    before = outage.calls
    assert await outage.pass_time(90.0) == [2] * 60
    assert outage.calls - before <= 3 * len(KEYS)
