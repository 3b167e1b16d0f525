"""The priority of calls if the budget is short: each purpose has a rank, each rank a part of the
limit."""

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
    GUESS = "guess"  # a caller waits for a training that probably does not exist


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


def rank_of(purpose: Purpose, *, guessed: bool = False) -> Rank:
    """The rank of a call. `guessed`: the upstream probably has no training with this id."""
    return Rank.GUESS if guessed and purpose is Purpose.MISS else _RANK_OF[purpose]


_CALLED_FOR: Final = frozenset(
    {Purpose.MISS, Purpose.MIN_VERSION, Purpose.REVALIDATION, Purpose.WRITE}
)


def has_a_caller(purpose: Purpose) -> bool:
    """Whether a call may wait for the budget: a caller waits for the call, and the call is no
    retry."""
    return purpose in _CALLED_FOR


# The part of a limit that is reserved for each rank.
_FLOORS: Final = {
    Rank.CALLER: 0.2,
    Rank.VERSION: 0.1,
    Rank.REVALIDATION: 0.1,
    Rank.REFRESH: 0.1,
    Rank.SWEEP: 0.1,
    Rank.GUESS: 0.05,
}
# The largest part of a limit that the rank GUESS may spend.
_GUESSES: Final = 0.25
# If the limit is lower, nothing is reserved.
_SMALLEST: Final = 10


@dataclass(frozen=True, slots=True)
class Portion:
    """The part for one rank in any window: `floor` calls are reserved, `ceiling` calls are the
    most.

    If `always` is False, the floor is reserved only if a call of the rank was refused in the last
    window.
    """

    floor: int
    ceiling: int
    always: bool


Portions = Mapping[Rank, Portion]


def portions(limit: int, sweep_share: float) -> Portions:
    """The part of each rank. `sweep_share` in (0, 1] is the most that the sweep may spend."""
    ceilings = {Rank.SWEEP: sweep_share, Rank.GUESS: _GUESSES}
    return {
        rank: Portion(
            floor=_at_least_one(limit, _FLOORS[rank]) if limit >= _SMALLEST else 0,
            ceiling=_at_least_one(limit, ceilings.get(rank, 1.0)),
            always=rank is Rank.CALLER,
        )
        for rank in RANKS
    }


def scaled(full: int, limit: int, sweep_share: float) -> Portions:
    """The part of each rank after the limit was lowered from `full` to `limit`."""
    return {
        rank: Portion(
            floor=of.floor * limit // full,
            ceiling=max(1, of.ceiling * limit // full),
            always=of.always,
        )
        for rank, of in portions(full, sweep_share).items()
    }


def kept_from(rank: Rank, spent: Mapping[Rank, int], wanted: Iterable[Rank], of: Portions) -> int:
    """How many calls a rank has to leave to the other ranks.

    `wanted` are the ranks with a call that was refused in the last window. A rank that has spent
    less than its floor leaves only the floors that are always reserved. Otherwise two such ranks
    would wait for each other.
    """
    is_below = spent[rank] < of[rank].floor
    kept_for = {other for other in RANKS if of[other].always}
    if not is_below:
        kept_for.update(wanted)
    return sum(max(0, of[other].floor - spent[other]) for other in kept_for - {rank})


def _at_least_one(limit: int, share: float) -> int:
    return max(1, int(limit * share))
