"""One replica, alone or with a Redis, on a clock that goes as told."""

from __future__ import annotations

import pytest

from tests.doubles.clock import FakeClock
from tests.unit.flow.house import Redis, Replica


@pytest.fixture
def clock() -> FakeClock:
    """The time."""
    return FakeClock()


@pytest.fixture
def redis(clock: FakeClock) -> Redis:
    """What replicas share."""
    return Redis(clock)


@pytest.fixture
def alone(clock: FakeClock) -> Replica:
    """A replica without Redis."""
    return Replica(clock)


@pytest.fixture
def replica(clock: FakeClock, redis: Redis) -> Replica:
    """A replica with Redis."""
    return Replica(clock, redis)


@pytest.fixture
def other(clock: FakeClock, redis: Redis) -> Replica:
    """Another one with the same Redis."""
    return Replica(clock, redis)
