"""Each replica leaves a key alone after its own failures."""

from __future__ import annotations

from tests.unit.flow.house import Replica, says, serve_stale
from tests.unit.flow.leases import Town, calls


async def stale_town() -> tuple[Town, list[Replica]]:
    """Three replicas that hold the same stale entry; each call fails from now on."""
    town = Town()
    replicas = [town.replica() for _ in range(3)]
    await serve_stale(replicas[0])
    for replica in replicas:
        replica.upstream.always = says(500)
    return town, replicas


async def read(replica: Replica) -> None:
    """One stale answer, and what it starts."""
    await replica.get()
    await replica.land()


async def test_in_an_hour_each_replica_asks_once_a_minute() -> None:
    """Three replicas, each read every second: the pauses of each grow to a minute."""
    town, replicas = await stale_town()
    before, made = calls(replicas), {}
    for second in range(1, 3_601):
        town.clock.advance(1.0)
        for replica in replicas:
            await read(replica)
        made[second] = calls(replicas) - before

    assert [made[second] for second in (60, 290, 1_800, 3_600)] == [18, 30, 105, 195]
