"""The priority of calls when the budget is short.

Each call has a rank. Each rank has a floor (calls that are reserved for the rank) and a ceiling
(the most calls that the rank may spend). These floors have nothing to do with version floors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.core.vocabulary import Purpose


class Rank(StrEnum):
    """The priority of a call. The order of the members is also the order of the ranks in
    lua/budget.lua."""

    CALLER = "caller"  # a caller waits, and nothing is stored; or a caller writes
    VERSION = "version"  # a caller waits for a version that is not stored
    REVALIDATION = "revalidation"  # a caller waits, and the stored response may be used for rescue
    REFRESH = "refresh"  # no caller waits
    SWEEP = "sweep"


RANKS: Final = tuple(Rank)

_RANK_OF: Final = {
    Purpose.MISS: Rank.CALLER,
    Purpose.RETRY: Rank.CALLER,
    Purpose.WRITE: Rank.CALLER,
    Purpose.PROBE: Rank.CALLER,
    Purpose.MIN_VERSION: Rank.VERSION,
    Purpose.REVALIDATION: Rank.REVALIDATION,
    Purpose.REFRESH: Rank.REFRESH,
    Purpose.SWEEP: Rank.SWEEP,
    Purpose.WARM: Rank.SWEEP,
    Purpose.VERIFY: Rank.SWEEP,
}


def rank_of(purpose: Purpose) -> Rank:
    """The rank of a call."""
    return _RANK_OF[purpose]


_WITH_A_CALLER: Final = frozenset(
    {Purpose.MISS, Purpose.MIN_VERSION, Purpose.REVALIDATION, Purpose.WRITE}
)


def has_a_caller(purpose: Purpose) -> bool:
    """Whether a caller waits for calls with this purpose. Only such a call may wait until the
    budget has a free call. A retry counts as a call without a caller: it may not wait."""
    return purpose in _WITH_A_CALLER


# The fraction of a limit that is reserved for each rank.
_FLOORS: Final = {
    Rank.CALLER: 0.2,
    Rank.VERSION: 0.1,
    Rank.REVALIDATION: 0.1,
    Rank.REFRESH: 0.1,
    Rank.SWEEP: 0.1,
}
# If a limit is lower than this, nothing is reserved for any rank.
_SMALLEST: Final = 10


@dataclass(frozen=True, slots=True)
class Portion:
    """How many calls of any window are for one rank.

    floor    this many calls are reserved for the rank
    ceiling  the rank may spend at most this many calls
    always   False: the floor is reserved only if the budget denied a call of the rank in the last
             window
    """

    floor: int
    ceiling: int
    always: bool


Portions = Mapping[Rank, Portion]


def portions(limit: int, sweep_share: float) -> Portions:
    """The portion of each rank. `sweep_share` in (0, 1] is the largest fraction of the limit that
    the sweep may spend."""
    ceilings = {Rank.SWEEP: sweep_share}
    return {
        rank: Portion(
            floor=_at_least_one(limit, _FLOORS[rank]) if limit >= _SMALLEST else 0,
            ceiling=_at_least_one(limit, ceilings.get(rank, 1.0)),
            always=rank is Rank.CALLER,
        )
        for rank in RANKS
    }


def scaled(full: int, limit: int, sweep_share: float) -> Portions:
    """The portion of each rank after the limit was lowered from `full` to `limit`."""
    return {
        rank: Portion(
            floor=of.floor * limit // full,
            ceiling=max(1, of.ceiling * limit // full),
            always=of.always,
        )
        for rank, of in portions(full, sweep_share).items()
    }


def kept_from(rank: Rank, spent: Mapping[Rank, int], wanted: Iterable[Rank], of: Portions) -> int:
    """How many calls of the window a rank must leave free for the other ranks.

    `wanted` are the ranks with a call that the budget denied in the last window. A rank that has
    spent less than its own floor must leave free only the floors that are always reserved.
    Otherwise two ranks below their floors would wait for each other.
    """
    is_below = spent[rank] < of[rank].floor
    kept_for = {other for other in RANKS if of[other].always}
    if not is_below:
        kept_for.update(wanted)
    return sum(max(0, of[other].floor - spent[other]) for other in kept_for - {rank})


def _at_least_one(limit: int, share: float) -> int:
    return max(1, int(limit * share))
