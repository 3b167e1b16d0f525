"""The rank of a call says who gets the calls when the budget is short.

`core/budget/window_log` and lua/budget.lua say how many calls each rank may make.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from gateway.core.vocabulary import Purpose


class Rank(StrEnum):
    """The rank of a call. The order of the members is the order of the logs in lua/budget.lua."""

    # A caller waits, and nothing is stored for it; or a caller writes; or the first sweep fills an
    # empty cache, a hundred trainings with one call.
    CALLER = "caller"
    REFRESH = "refresh"  # a stored response may be served, whether or not a caller waits
    SWEEP = "sweep"


_RANK_OF: Final = {
    Purpose.MISS: Rank.CALLER,
    Purpose.RETRY: Rank.CALLER,
    Purpose.WRITE: Rank.CALLER,
    Purpose.PROBE: Rank.CALLER,
    Purpose.MIN_VERSION: Rank.CALLER,
    Purpose.REVALIDATION: Rank.REFRESH,
    Purpose.REFRESH: Rank.REFRESH,
    Purpose.SWEEP: Rank.SWEEP,
    Purpose.WARM: Rank.CALLER,
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
