"""Who goes before whom when calls are short: a rank for each purpose, and what each may spend.

Lives here: values and the shares of a limit. When a call may go is `window_log`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.core.vocabulary import Purpose


class Rank(StrEnum):
    """What a call is worth. The order is that of the logs in Redis."""

    CALLER = "caller"  # somebody waits, and nothing is stored
    VERSION = "version"  # somebody waits for a version that is not stored
    REVALIDATION = "revalidation"  # somebody waits, and what is stored may stand in
    REFRESH = "refresh"  # somebody was answered from what is stored
    SWEEP = "sweep"  # nobody asked
    GUESS = "guess"  # somebody waits for what is probably not there


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
    """The rank of a call; `guessed`: for an id that the upstream probably does not have."""
    return Rank.GUESS if guessed and purpose is Purpose.MISS else _RANK_OF[purpose]


_CALLED_FOR: Final = frozenset(
    {Purpose.MISS, Purpose.MIN_VERSION, Purpose.REVALIDATION, Purpose.WRITE}
)


def has_a_caller(purpose: Purpose) -> bool:
    """Whether somebody waits for the answer, and so may wait for the call's turn as well."""
    return purpose in _CALLED_FOR


# Of a limit: what is a rank's own, and how much it may have. Not more than two thirds are
# anybody's own, so that no mixture of ranks leaves much of the limit unused.
_FLOORS: Final = {
    Rank.CALLER: 0.2,
    Rank.VERSION: 0.1,
    Rank.REVALIDATION: 0.1,
    Rank.REFRESH: 0.1,
    Rank.SWEEP: 0.1,
    Rank.GUESS: 0.05,
}
_GUESSES: Final = 0.25
# Below so many calls a window not each rank can have one of its own.
_SMALLEST: Final = 10


@dataclass(frozen=True, slots=True)
class Portion:
    """Of the calls of any window: `floor` are a rank's own, `ceiling` are the most it may make.

    The floor is kept from the others while somebody of the rank was refused within the last
    window; `always` keeps it all the time.
    """

    floor: int
    ceiling: int
    always: bool


Portions = Mapping[Rank, Portion]


def portions(limit: int, sweep_share: float) -> Portions:
    """What each rank may spend of a limit; `sweep_share` in (0, 1] is the sweep's ceiling."""
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
    """What each may spend of a limit that was lowered from `full`."""
    return {
        rank: Portion(
            floor=of.floor * limit // full,
            ceiling=max(1, of.ceiling * limit // full),
            always=of.always,
        )
        for rank, of in portions(full, sweep_share).items()
    }


def kept_from(rank: Rank, spent: Mapping[Rank, int], wanted: Iterable[Rank], of: Portions) -> int:
    """How many calls a rank leaves to the others, given what each has spent of its floor.

    Who has not had its own floor leaves only what is always kept: two who are both below
    theirs must not wait for each other.
    """
    is_below = spent[rank] < of[rank].floor
    kept_for = {other for other in RANKS if of[other].always}
    if not is_below:
        kept_for.update(wanted)
    return sum(max(0, of[other].floor - spent[other]) for other in kept_for - {rank})


def _at_least_one(limit: int, share: float) -> int:
    return max(1, int(limit * share))
