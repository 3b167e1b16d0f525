"""The mode `frozen`, as callers see it."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import Key
from gateway.core.errors import Frozen
from gateway.core.http.cache_status import Handling
from gateway.core.vocabulary import Detail, Mode, Outcome
from gateway.flow.answer import Answer, Ask
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import (
    KEY,
    SOFT,
    STALE,
    UNUSABLE,
    Replica,
    marks,
    minute_of,
    ok,
    serve_stale,
)


async def get(replica: Replica, key: Key = KEY, *, only_if_cached: bool = False) -> Answer:
    """What is answered in the mode of this moment."""
    ask = Ask(key, replica.caller, only_if_cached)
    return await (replica.unusual if replica.unusual.is_ordered else replica.serving).get(ask)


@pytest.mark.parametrize("age", [STALE, SOFT])
async def test_frozen_answers_from_the_cache_and_calls_nothing(alone: Replica, age: float) -> None:
    """However stale, marked as such."""
    await serve_stale(alone, age)
    await alone.modes.order(Mode.FROZEN)

    answer = await get(alone)
    await alone.land()

    assert marks(answer) == (1, Outcome.STALE_SHIELDED, Handling(Detail.FROZEN))
    assert alone.upstream.count == 1


async def test_frozen_serves_what_is_fresh_as_ever(alone: Replica) -> None:
    """A hit is a hit."""
    await alone.fill(1)
    await alone.modes.order(Mode.FROZEN)

    assert marks(await get(alone)) == (1, Outcome.FRESH, Handling(Detail.L1))


async def test_frozen_says_so_where_nothing_is_stored(alone: Replica) -> None:
    """Past every window as well: a stated bound holds in every mode."""
    await serve_stale(alone, UNUSABLE)
    await alone.modes.order(Mode.FROZEN)

    for key in (Key("p1", "trn_1"), Key("p1", "trn_2")):
        with pytest.raises(Frozen):
            await get(alone, key)
    assert alone.upstream.count == 1


async def test_a_call_that_was_under_way_is_the_last(alone: Replica) -> None:
    """Whoever comes to call while it is frozen is turned away before it pays."""
    await serve_stale(alone)
    alone.peek()  # begins a refresh
    await alone.modes.order(Mode.FROZEN)

    await alone.land()

    assert alone.upstream.count == 1


async def test_a_thaw_goes_on_where_it_was(alone: Replica, clock: FakeClock) -> None:
    """Stale is refreshed again."""
    await serve_stale(alone)
    await alone.modes.order(Mode.FROZEN)
    await get(alone)
    await alone.modes.order(Mode.NORMAL)
    alone.upstream.then(ok(2))

    alone.peek()
    await alone.land()

    assert minute_of(await get(alone)) == 2
