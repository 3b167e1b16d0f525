"""The skew of a node in a cluster: how far its clock is ahead of the clock that replicas share.

A time in Redis is on the clock of the node that stores it. A replica subtracts the skew from a time
that it reads, and adds the skew again when it sends this time back to the node. The result must be
exactly the stored time, because the node compares the two.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.core.cache.entry import Confirmation, Entry, Floor
from gateway.ports import Found, Standing

# Seconds. Each skew is a multiple of this power of two. So if a skew is subtracted from a timestamp
# (a double), and then added again, the result is exactly the timestamp.
STEP: Final = 1 / 16


def settled(known: float, measured: float, error: float) -> float:
    """The skew after a measurement. The `measured` skew can be wrong by `error`. The `known` skew
    stays if the measurement does not contradict it."""
    if abs(measured - known) <= error + STEP:
        return known
    return round(measured / STEP) * STEP


def of_entry(entry: Entry, skew: float) -> Entry:
    """The entry, with `confirmed_at` earlier by `skew` seconds."""
    return entry.but(confirmed_at=entry.confirmed_at - skew) if skew else entry


def of_floor(floor: Floor | None, skew: float) -> Floor | None:
    """As `of_entry`, for a floor."""
    if floor is None or not skew or floor.started == 0.0:
        return floor
    return replace(floor, started=floor.started - skew)


def of_found(found: Found, skew: float) -> Found:
    """As `of_entry`, for a look-up."""
    if not skew:
        return found
    entry = None if found.entry is None else of_entry(found.entry, skew)
    return Found(entry, of_floor(found.floor, skew), found.struck_at - skew)


def of_standing(standing: Standing | None, skew: float) -> Standing | None:
    """As `of_entry`, for the state of a key."""
    if standing is None or not skew:
        return standing
    floor = of_floor(standing.floor, skew)
    assert floor is not None

    def last() -> Confirmation | None:
        told = standing.last()
        return None if told is None else replace(told, confirmed_at=told.confirmed_at - skew)

    return replace(standing, floor=floor, last=last, struck_at=standing.struck_at - skew)
