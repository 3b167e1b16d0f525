"""The slots of a cluster: which of its nodes holds what, as a node tells it.

Lives here: arithmetic and reading, no I/O. Whom to believe is the business of cluster.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from gateway.adapters.redis.connect.url import Place

SLOTS: Final = REDIS_CLUSTER_HASH_SLOTS

# So many slots are one region: nodes hold long runs of slots, few of which end within one.
_REGION: Final = 256

# Where nobody holds a slot there is no place.
Holders = list[Place | None]


def slot_of(name: str) -> int:
    """The slot of a key: of what stands in its braces, if anything does."""
    return key_slot(name.encode())


def read_holders(reply: Sequence[Any], asked: Place) -> Holders:
    """The holder of each slot, out of a reply to CLUSTER SLOTS; raises ValueError.

    A node that knows no name of its own leaves it out, and means the one by which it was asked.
    """
    holders: Holders = [None] * SLOTS
    for first, last, master, *_ in reply:
        if not 0 <= first <= last < SLOTS:
            raise ValueError("a slot that is none")
        host = (master[0] or b"").decode()
        place = (asked[0] if host in ("", "?") else host, int(master[1]))
        holders[first : last + 1] = [place] * (last + 1 - first)
    return holders


@cache
def tag_of(first: int, last: int) -> str:
    """The shortest number that as a hash tag belongs to one of these slots."""
    return next(str(n) for n in itertools.count() if first <= slot_of(f"{{{n}}}") <= last)


@cache
def regions() -> tuple[str, ...]:
    """A tag for each run of slots, in their order: what is to stand near every slot has one
    copy a run, and stays near when slots change hands."""
    return tuple(tag_of(first, first + _REGION - 1) for first in range(0, SLOTS, _REGION))


def region_of(slot: int) -> str:
    """The tag near that slot."""
    return regions()[slot // _REGION]


def tags_of(holders: Holders) -> tuple[str, ...]:
    """For each holder a hash tag of its own, in the order of their slots."""
    firsts = {place: slot for slot, place in reversed(list(enumerate(holders))) if place}
    return tuple(tag_of(slot, _last(holders, slot)) for slot in sorted(firsts.values()))


def tag_held(place: Place, holders: Holders) -> str | None:
    """The hash tag that `tags_of` has for that holder; None where it holds no slot."""
    if place not in holders:
        return None
    first = holders.index(place)
    return tag_of(first, _last(holders, first))


def _last(holders: Holders, first: int) -> int:
    """The last slot of the run of the same holder that begins there."""
    run = itertools.takewhile(lambda slot: holders[slot] == holders[first], range(first, SLOTS))
    return max(run)
