"""The skew of a node in a cluster: how far its clock is ahead of the clock that replicas share.

A time in Redis is on the clock of the node that stores it. When a time is read, the skew is
subtracted. When the time is written again, the skew is added. The skew may be known only roughly.
But the addition must exactly undo the subtraction, because the node compares the time with its own
times.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.core.cache.entry import Confirmation, Entry, Floor
from gateway.ports import Found, Standing

# Skews are multiples of this many seconds. It is a power of two, so a timestamp (a double) stays
# exactly the same when a skew is subtracted and added again.
STEP: Final = 1 / 16


def settled(known: float, ahead: float, error: float) -> float:
    """The skew after another measurement. `known` is the skew before the measurement. This skew
    stays if the measurement does not contradict it. `ahead` is the measured skew, which may be
    wrong by `error`."""
    if abs(ahead - known) <= error + STEP:
        return known
    return round(ahead / STEP) * STEP


def of_entry(entry: Entry, skew: float) -> Entry:
    """The entry with its times `skew` seconds earlier."""
    return entry.but(confirmed_at=entry.confirmed_at - skew) if skew else entry


def of_floor(floor: Floor | None, skew: float) -> Floor | None:
    """The floor with its times `skew` seconds earlier."""
    if floor is None or not skew or floor.started == 0.0:
        return floor
    return replace(floor, started=floor.started - skew)


def of_found(found: Found, skew: float) -> Found:
    """The result of a look-up, with all its times `skew` seconds earlier."""
    if not skew:
        return found
    entry = None if found.entry is None else of_entry(found.entry, skew)
    return Found(entry, of_floor(found.floor, skew), found.struck_at - skew)


def of_standing(standing: Standing | None, skew: float) -> Standing | None:
    """The state of a key, with all its times `skew` seconds earlier."""
    if standing is None or not skew:
        return standing
    floor = of_floor(standing.floor, skew)
    assert floor is not None

    def last() -> Confirmation | None:
        told = standing.last()
        return None if told is None else replace(told, confirmed_at=told.confirmed_at - skew)

    return replace(standing, floor=floor, last=last, struck_at=standing.struck_at - skew)
