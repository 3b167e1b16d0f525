"""The rank of a call says who gets the calls when the budget is short.

`core/budget/window_log` and lua/budget.lua say how many calls each rank may make.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from gateway.core.vocabulary import Purpose


class Rank(IntEnum):
    """The rank of a call. What a rank may have, the ranks after it share."""

    # A caller waits, and nothing is stored for it; or a caller writes; or the first sweep fills an
    # empty cache, a hundred trainings with one call.
    CALLER = 1
    REFRESH = 2  # a stored response may be served, whether or not a caller waits
    SWEEP = 3


# By purpose: the rank of a call, and whether a caller waits for it.
_CALLS: Final = {
    Purpose.MISS: (Rank.CALLER, True),
    Purpose.RETRY: (Rank.CALLER, False),
    Purpose.WRITE: (Rank.CALLER, True),
    Purpose.PROBE: (Rank.CALLER, False),
    Purpose.MIN_VERSION: (Rank.CALLER, True),
    Purpose.REVALIDATION: (Rank.REFRESH, True),
    Purpose.REFRESH: (Rank.REFRESH, False),
    Purpose.SWEEP: (Rank.SWEEP, False),
    Purpose.WARM: (Rank.CALLER, False),
    Purpose.VERIFY: (Rank.REFRESH, False),
}


def rank_of(purpose: Purpose) -> Rank:
    """The rank of a call."""
    return _CALLS[purpose][0]


def has_a_caller(purpose: Purpose) -> bool:
    """Whether a caller waits for calls with this purpose. Only such a call may wait until the
    budget has a free call. A retry counts as a call without a caller: it may not wait."""
    return _CALLS[purpose][1]
