"""By how much the clock of a node of a cluster is ahead of the clock that replicas share.

What stands in Redis is timed by the clock of the node where it stands, and compared there; what
leaves it is moved to the shared clock, and moved back when it returns. So the skew may only be
known roughly, but has to give back exactly what it took.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.core.cache.entry import Confirmation, Entry, Floor
from gateway.ports import Found, Standing

# A power of two: today's times, in doubles, lose nothing by so many seconds to and fro. Clocks
# that are closer than this are taken for one.
STEP: Final = 1 / 16


def settled(known: float, ahead: float, error: float) -> float:
    """The skew after a sample that may be wrong by `error`: it only moves where it has to."""
    if abs(ahead - known) <= error + STEP:
        return known
    return round(ahead / STEP) * STEP


def of_entry(entry: Entry, skew: float) -> Entry:
    """The entry with its times so many seconds earlier."""
    return entry.but(confirmed_at=entry.confirmed_at - skew) if skew else entry


def of_floor(floor: Floor | None, skew: float) -> Floor | None:
    """The floor with its times so many seconds earlier."""
    if floor is None or not skew or floor.started == 0.0:
        return floor
    return replace(floor, started=floor.started - skew)


def of_found(found: Found, skew: float) -> Found:
    """What was found, with all its times so many seconds earlier."""
    if not skew:
        return found
    entry = None if found.entry is None else of_entry(found.entry, skew)
    return Found(entry, of_floor(found.floor, skew), found.struck_at - skew)


def of_standing(standing: Standing | None, skew: float) -> Standing | None:
    """How a key stands, with all its times so many seconds earlier."""
    if standing is None or not skew:
        return standing
    floor = of_floor(standing.floor, skew)
    assert floor is not None

    def last() -> Confirmation | None:
        told = standing.last()
        return None if told is None else replace(told, confirmed_at=told.confirmed_at - skew)

    return replace(standing, floor=floor, last=last, struck_at=standing.struck_at - skew)
