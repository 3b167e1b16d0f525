"""Which of several sentinels is believed, and what is said when none of them knows."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as ConnectionFault

from gateway.adapters.redis.connect.transport import Sentinels

OLD, NEW = ("10.0.0.1", 6379), ("10.0.0.2", 6379)
# Seconds; only a sentinel that hangs costs them.
PATIENCE = 0.02


class Sentinel:
    """One that names this master, or fails so; None: it does not answer."""

    def __init__(self, says: object) -> None:
        self.says = says

    async def sentinel_masters(self) -> object:
        """What the driver makes of its answer."""
        if self.says is None:
            await asyncio.Event().wait()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def names(address: tuple[str, int], epoch: int = 0, **flags: bool) -> dict[str, object]:
    """The answer of a sentinel that has seen so many failovers."""
    state = {"is_master": True, "is_sdown": False, "is_odown": False, **flags}
    where = {"ip": address[0], "port": address[1], "config-epoch": epoch}
    return {"main": {**state, **where, "num-other-sentinels": 0}}


def asked(*says: object) -> tuple[Sentinels, list[Sentinel]]:
    """Sentinels that say so, and each of them."""
    each = [Sentinel(says) for says in says]
    return Sentinels({f"s{n}:26379": one for n, one in enumerate(each)}, "main", PATIENCE), each


async def test_the_master_that_they_name() -> None:
    """It is news the first time, and no more after that."""
    sentinels, _ = asked(names(OLD), names(OLD))

    assert await sentinels.find()
    assert not await sentinels.find()
    assert sentinels.master == await sentinels.get_master_address() == OLD


@pytest.mark.parametrize("epochs", [(0, 1), (1, 0)])
async def test_the_later_failover_is_believed(epochs: tuple[int, int]) -> None:
    """Whoever was cut off meanwhile still names the former master, and may answer first."""
    addresses = (OLD, NEW) if epochs == (0, 1) else (NEW, OLD)
    sentinels, _ = asked(*map(names, addresses, epochs))

    await sentinels.find()

    assert sentinels.master == NEW


@pytest.mark.parametrize(
    "silent", [None, ConnectionFault("hunter2"), OSError(), {}, "nonsense", {"main": {}}]
)
async def test_one_that_does_not_know_does_not_matter(silent: object) -> None:
    """Whatever it does, also for ever."""
    sentinels, _ = asked(silent, names(NEW))

    await sentinels.find()

    assert sentinels.master == NEW


@pytest.mark.parametrize("flag", ["is_sdown", "is_odown"])
async def test_a_master_that_is_down_is_not_news(flag: str) -> None:
    """The one that is known stays until they have chosen another."""
    sentinels, (one,) = asked(names(OLD))
    await sentinels.find()

    one.says = names(NEW, 1, **{flag: True})
    assert not await sentinels.find()
    assert sentinels.master == OLD

    one.says = names(NEW, 1)
    assert await sentinels.find()


@pytest.mark.parametrize("silent", [None, ConnectionFault(), {}])
async def test_a_known_master_outlives_its_sentinels(silent: object) -> None:
    """It may well be there."""
    sentinels, (one,) = asked(names(OLD))
    await sentinels.find()

    one.says = silent
    assert not await sentinels.find()

    assert sentinels.master == OLD


async def test_when_no_one_knows_each_reason_is_said() -> None:
    """By where each is; what they said themselves may hold what they were sent."""
    sentinels, _ = asked(
        None, AuthenticationError("hunter2"), {}, names(OLD, is_sdown=True), {"main": {}}
    )

    with pytest.raises(ConnectionFault) as unknown:
        await sentinels.find()

    assert str(unknown.value) == (
        "no sentinel names a master 'main': s0:26379 TimeoutError, "
        "s1:26379 AuthenticationError, s2:26379 knows no such master, "
        "s3:26379 says that the master is down, s4:26379 KeyError"
    )
    with pytest.raises(ConnectionFault):
        await sentinels.get_master_address()
