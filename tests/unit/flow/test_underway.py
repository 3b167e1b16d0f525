"""underway: one look-up and one fetch for a key, whoever starts it."""

from __future__ import annotations

import pytest

from gateway.core.errors import UpstreamError
from gateway.core.status import Purpose
from gateway.flow.answer import Ask
from gateway.flow.fetched import Filled
from tests.unit.flow.house import CALLER, KEY, Replica, ok, page, settle

ASK = Ask(KEY, CALLER)


async def test_a_fetch_is_for_whoever_asks_meanwhile(alone: Replica) -> None:
    """Started by nobody's request, and told like any other."""
    alone.upstream.hold()
    alone.upstream.then(ok(1))
    flight = alone.serving.start(ASK, None, Purpose.VERIFY)
    await settle()

    assert alone.serving.fills.under_way(KEY) is flight
    alone.upstream.release()
    landed = await flight.join()
    assert isinstance(landed, Filled)
    assert alone.observer.of("fetched")[0][:3] == (KEY, Purpose.VERIFY, 200)
    assert alone.serving.standing(KEY) is None


async def test_its_failure_stands_for_a_while(alone: Replica) -> None:
    """Whoever comes next need not ask to learn of it."""
    alone.upstream.then(page(503))

    with pytest.raises(UpstreamError):
        await alone.serving.start(ASK, None, Purpose.VERIFY).join()

    assert alone.serving.standing(KEY) is not None
    alone.clock.advance(60.0)
    assert alone.serving.standing(KEY) is None


async def test_one_look_up_serves_all_of_the_moment(alone: Replica) -> None:
    """Nothing is stored, and nothing is asked upstream for it."""
    assert await alone.serving.look_up(KEY) is None
    assert alone.upstream.count == 0
    assert alone.serving.lookups.under_way(KEY) is None
