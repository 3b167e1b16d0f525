"""A cache that began empty is told as such, while the first sweep fills it, and not for ever."""

from __future__ import annotations

import pytest

from gateway.app.warming import LONGEST, WITHOUT_SWEEP, Warming
from tests.doubles.clock import FakeClock


class Filling:
    """What the sweep says of the cache; None: no sweep fills it."""

    def __init__(self, is_filling: bool | None) -> None:
        self.is_filling = is_filling
        self.clock = FakeClock()
        self.warming = Warming(self.clock.monotonic, lambda: self.is_filling)

    def is_on(self, later: float = 0.0, *, redis_up: bool | None = None) -> bool:
        """Whether the cache is being filled, so many seconds later."""
        self.clock.advance(later)
        return self.warming.is_on(redis_up=redis_up)


@pytest.mark.parametrize("redis_up", [None, True])
def test_it_lasts_until_the_first_sweep_has_ended(redis_up: bool | None) -> None:
    """With Redis and without."""
    cache = Filling(True)

    assert cache.is_on(redis_up=redis_up)
    assert cache.is_on(60.0, redis_up=redis_up)
    cache.is_filling = False
    assert not cache.is_on(redis_up=redis_up)


def test_a_redis_that_came_back_empty_is_noticed() -> None:
    """The first sweep begins again; while Redis is away nothing is known, so nothing is said."""
    cache = Filling(False)
    assert not cache.is_on(redis_up=True)

    cache.is_filling = True
    assert not cache.is_on(1_000.0, redis_up=False)
    assert cache.is_on(1.0, redis_up=True)
    assert cache.is_on(LONGEST - 1.0, redis_up=True)


def test_a_cache_that_does_not_get_full_is_a_fault() -> None:
    """It does not silence alerts for longer than ten minutes."""
    cache = Filling(True)

    assert cache.is_on()
    assert cache.is_on(LONGEST - 1.0)
    assert not cache.is_on(1.0)


def test_without_a_sweep_the_first_minutes_count() -> None:
    """Only without Redis: whether a Redis was full, nobody says then."""
    assert not Filling(None).is_on(redis_up=True)
    cache = Filling(None)

    assert cache.is_on(WITHOUT_SWEEP - 1.0)
    assert not cache.is_on(1.0)
