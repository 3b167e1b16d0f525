from __future__ import annotations

import json

import pytest

from gateway.core.cache.entry import Key
from gateway.core.instant import Instant
from gateway.flow.operations.explain import Explainer, Words
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import KEY, Redis, Replica, ok, says, settle, training

OTHER = Key("p2", "trn_1")
BOUND = Instant(1_700_000_000_123_456_789)


def explainer(replica: Replica) -> Explainer:
    """Looks into that replica."""
    return Explainer(
        *(replica.local, replica.shared, replica.clock, replica.serving._rules, replica.serving),
        list_state=lambda partition: "behind" if partition == OTHER.partition else None,
    )


async def explain(replica: Replica) -> Words:
    """What it says of the key."""
    return await explainer(replica).explain(KEY)


def part(words: Words, name: str) -> Words:
    """What is said of a tier, which must be something."""
    found = words[name]
    assert isinstance(found, dict)
    return found


async def test_what_is_not_stored_is_explained(replica: Replica) -> None:
    """Nothing anywhere, and what would change that."""
    assert await explain(replica) == {
        "id": "trn_1",
        "partition": "p1",
        "l1": None,
        "l2": None,
        "bound": None,
        "next_refresh": "on the first request: nothing is stored",
    }


async def test_it_says_how_far_the_list_is_believed(replica: Replica) -> None:
    """In that partition, and in no other."""
    said = [(await explainer(replica).explain(key)).get("list") for key in (KEY, OTHER)]

    assert said == [
        None,
        "behind: it is older than single answers, so it confirms and stores nothing",
    ]


async def test_both_tiers_are_explained(replica: Replica, clock: FakeClock) -> None:
    """With the times that decide."""
    await replica.fill(1)
    clock.advance(10.0)

    words = await explain(replica)

    l1 = part(words, "l1")
    assert l1 == words["l2"]
    assert l1["updated_at"] == "2023-11-14T22:01:00Z"
    assert (l1["status"], l1["bytes"]) == (200, len(training(1)))
    assert (l1["age"], l1["freshness_lifetime"]) == (10.0, 30.0)
    assert (l1["state"], l1["plan"]) == ("current", "serve")
    assert words["next_refresh"] == "on the first request after 20.0 s, when the response is stale"


async def test_a_stale_entry_is_refreshed_next(alone: Replica, clock: FakeClock) -> None:
    """L1 is the only tier with a body here."""
    await alone.fill(1)
    clock.advance(31.0)

    words = await explain(alone)

    assert words["l2"] is None
    assert part(words, "l1")["plan"] == "serve-and-refresh"
    assert words["next_refresh"] == "on the next request: the response is stale"


async def test_an_invalidated_entry_is_asked_for_next(replica: Replica, redis: Redis) -> None:
    """However fresh it is by its age."""
    await replica.fill(1)
    await redis.store.order("trn_1", None, BOUND, is_hard=False)

    words = await explain(replica)

    assert words["bound"] == "2023-11-14T22:13:20.123456789Z"
    assert part(words, "l1")["state"] == "rescue"
    assert part(words, "l1")["plan"] == "fetch"
    expected = "on the next request: an order ruled the response out, or a mark is lost"
    assert words["next_refresh"] == expected


async def test_what_redis_did_not_store_rescues(
    replica: Replica, redis: Redis, clock: FakeClock
) -> None:
    """And so does the older response in Redis."""
    await replica.fill(1)
    redis.switch.is_up = False
    clock.advance(31.0)
    await replica.fill(2)
    await replica.land()
    redis.switch.is_up = True

    words = await explain(replica)

    assert [part(words, each)["state"] for each in ("l1", "l2")] == ["rescue", "rescue"]


async def test_the_later_tier_tells_the_next_refresh(
    replica: Replica, other: Replica, clock: FakeClock
) -> None:
    """L1 may be behind what another replica confirmed."""
    await replica.fill(1)
    clock.advance(31.0)
    other.upstream.then(ok(1))
    await other.get()
    await other.land()

    words = await explain(replica)

    assert part(words, "l1")["plan"] == "serve-and-refresh"
    assert words["next_refresh"] == "on the first request after 30.0 s, when the response is stale"


async def test_a_404_is_explained(replica: Replica) -> None:
    """It has no version."""
    replica.upstream.then(says(404))
    await replica.get()

    words = await explain(replica)

    assert part(words, "l1")["updated_at"] is None


async def test_redis_away_is_said(replica: Replica, redis: Redis) -> None:
    """L1 is explained all the same."""
    await replica.fill(1)
    redis.switch.is_up = False

    words = await explain(replica)

    assert "away" in str(words["redis"])
    assert part(words, "l1")["plan"] == "serve"
    assert (words["l2"], words["bound"]) == (None, None)


async def test_a_failure_puts_the_refresh_off(alone: Replica, clock: FakeClock) -> None:
    """For as long as the key is left alone, and why."""
    await alone.fill(1)
    clock.advance(31.0)
    alone.upstream.then(says(502))
    await alone.get()
    await alone.land()

    words = await explain(alone)

    assert words["next_refresh"] == (
        "on the first request after 1.0 s: the last fetch failed (stale-error)"
    )


async def test_whose_turn_comes_before_is_told(clock: FakeClock) -> None:
    """Where there is no call, the place among those that wait for one; the same everywhere."""
    alone = Replica(clock, limit=2)
    explains = explainer(alone)
    for key in (KEY, OTHER):
        await alone.fill(1, key)
    clock.advance(31.0)
    for key in (KEY, OTHER, OTHER):
        await alone.get(key)
        await settle()

    told = [(await explains.explain(key))["next_refresh"] for key in (KEY, OTHER)]

    assert told == [
        "as soon as a call is free: place 2 of 2 in the queue",
        "as soon as a call is free: place 1 of 2 in the queue",
    ]


async def test_a_fetch_under_way_is_told(alone: Replica, clock: FakeClock) -> None:
    """What comes next is what is being done."""
    await alone.fill(1)
    clock.advance(31.0)
    alone.upstream.then(ok(2))
    await alone.get()

    under_way = await explain(alone)
    await alone.land()
    landed = await explain(alone)

    assert under_way["next_refresh"] == "now: a fetch is under way"
    assert str(landed["next_refresh"]).startswith("on the first request after 30.0 s")


async def test_the_partitions_are_named(alone: Replica) -> None:
    """Those in which this replica holds the training."""
    for key in (Key("p2", "trn_1"), KEY, Key("p1", "trn_2")):
        await alone.fill(1, key)

    assert explainer(alone).partitions("trn_1") == ["p1", "p2"]


@pytest.mark.parametrize("secret", ["token-1", "Refund within"])
async def test_neither_body_nor_credential_is_shown(replica: Replica, secret: str) -> None:
    """What is explained may be copied anywhere."""
    await replica.fill(1)

    assert secret not in json.dumps(await explain(replica))
