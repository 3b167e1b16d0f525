"""Trainings of which a later version is known than the upstream tells."""

from __future__ import annotations

import pytest

from gateway.core.errors import UpstreamError
from gateway.core.instant import Instant, parse_instant
from gateway.core.vocabulary import NotStoredReason, Outcome
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import KEY, Redis, Replica, minute_of, ok, says
from tests.unit.flow.request.test_response_selection_rescued import hears_of_newer

DATE = b"Tue, 14 Nov 2023 22:01:00 GMT"


def minute(number: int) -> Instant:
    """The version of that minute."""
    return parse_instant(f"2023-11-14T22:{number:02d}:00Z")


async def order(replica: Replica, number: int = 3) -> None:
    """An operator tells of the version of that minute."""
    await replica.invalidation.invalidate((KEY.training_id,), minute(number))


@pytest.fixture(params=["alone", "redis"])
async def behind(request: pytest.FixtureRequest) -> Replica:
    """An order told of the third version, the upstream has the first; with Redis and without."""
    name = "alone" if request.param == "alone" else "replica"
    made = request.getfixturevalue(name)
    assert isinstance(made, Replica)
    await made.fill(1)
    made.upstream.always = ok(1)
    made.clock.advance(1.0)
    await order(made)
    return made


async def test_a_refused_version_is_for_its_request_alone(behind: Replica) -> None:
    """Each request costs a call, and gets what the upstream says. Nothing is stored until the
    upstream has the version."""
    answers = [await behind.get() for _ in range(3)]

    assert behind.upstream.count == 4
    for each in answers:
        assert (minute_of(each), each.outcome) == (1, Outcome.FILLED)
        assert each.handling.not_stored is NotStoredReason.OLDER_VERSION
    behind.upstream.always = ok(3)
    assert minute_of(await behind.get()) == 3
    assert behind.peek() is not None


@pytest.mark.parametrize("told_by", ["a soft order", "a soft bound", "the list"])
async def test_what_is_below_the_floor_is_asked_for_without_validators(
    replica: Replica, redis: Redis, clock: FakeClock, told_by: str
) -> None:
    """A 304 would renew it: a date counts whole seconds, and a tag may stay the same."""
    await replica.fill(1, KEY, (b"etag", b'W/"1"'), (b"last-modified", DATE))
    clock.advance(6.0)
    if told_by == "the list":
        await hears_of_newer(redis)
    else:
        bound = minute(3) if told_by == "a soft bound" else None
        await replica.invalidation.invalidate((KEY.training_id,), bound, soft=True)

    await replica.fill(3)

    call = replica.upstream.calls[-1]
    assert (replica.upstream.count, call.etag, call.last_modified) == (2, None, None)


async def test_a_purge_ends_the_wait(behind: Replica) -> None:
    """The next answer is taken, whatever its version."""
    await behind.get()
    behind.upstream.always = ok(2)
    await behind.invalidation.purge(None, soft=False)

    answer = await behind.get()

    assert (minute_of(answer), answer.handling.stored) == (2, True)


async def test_it_is_no_rescue(behind: Replica) -> None:
    """An order leaves nothing to answer with once the upstream fails."""
    await behind.get()
    behind.upstream.always = says(500)
    behind.clock.advance(10.0)

    for _ in range(2):
        with pytest.raises(UpstreamError):
            await behind.get()
