"""What fetches bring, offered to the tiers of a replica, and what the tiers then have."""

from __future__ import annotations

from gateway.core.cache.entry import Entry, Key
from gateway.core.instant import Instant
from gateway.flow.cache.tiers import Seen
from gateway.flow.singleflight import Course
from gateway.ports import Stored
from tests.doubles.stored import entry_of, version
from tests.unit.flow.house import KEY, Replica

FIRST = version()


def outdated() -> Course:
    """A flight whose key was invalidated by what Redis does not know of."""
    course = Course()
    course.outdate(known=False)
    return course


async def put(
    replica: Replica,
    updated_at: Instant | None = FIRST,
    body: bytes | None = None,
    *,
    flight: Course | None = None,
) -> Stored:
    """Offer what a fetch that began now brought; no `updated_at` makes it a 404."""
    entry = entry_of(await replica.tiers.begin(KEY), updated_at, body)
    held = replica.tiers.render(entry, replica.clock.monotonic())
    return await replica.tiers.store(KEY, held, flight or Course())


async def find(replica: Replica) -> Seen:
    """What both tiers have, which must be something."""
    seen = await replica.tiers.lookup(KEY, Course())
    assert seen is not None
    return seen


def in_l1(replica: Replica, key: Key = KEY) -> Entry | None:
    """What L1 holds."""
    held = replica.local.peek(key)
    return None if held is None else held.entry


def version_in_l1(replica: Replica, key: Key = KEY) -> Instant | None:
    """The version that L1 holds."""
    entry = in_l1(replica, key)
    return None if entry is None else entry.updated_at
