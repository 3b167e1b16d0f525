"""What one caller may ask for: its own rate, handed out smoothly.

Arithmetic on (state, now); nothing here reads a clock or waits, so that whoever answers a hit
can ask without a detour. The algorithm is GCRA (ITU-T I.371): one number a caller, the time
at which all that was granted would have been used up at the mean rate.
"""

from __future__ import annotations

import math
from typing import Final

from gateway.core.budget.rates import Rate

_SHARE_AT_ONCE: Final = 10
_ALWAYS_AT_ONCE: Final = 10
# Sums of floats: a caller that waited exactly as long as told must not be told to wait more.
_TOLERANCE: Final = 1e-6


def burst_of(rate: Rate) -> int:
    """How many may come at once: a tenth of the limit, ten at least, never more than all."""
    return min(rate.limit, max(_ALWAYS_AT_ONCE, rate.limit // _SHARE_AT_ONCE))


class Allowance:
    """One caller's: never more than `rate.limit` and the burst in any window.

    Who keeps to the mean rate is never refused; what is refused costs nothing. `now` is
    seconds on a clock that does not run backwards.
    """

    __slots__ = ("_slack", "_spacing", "_used_up_at", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._spacing = rate.window / rate.limit
        self._slack = (burst_of(rate) - 1) * self._spacing
        self._used_up_at = -math.inf

    def take(self, now: float) -> float:
        """0.0: granted; else the seconds (> 0) until one will be."""
        used_up_at = max(self._used_up_at, now)
        wait = used_up_at - self._slack - now
        if wait > _TOLERANCE:
            return wait
        self._used_up_at = used_up_at + self._spacing
        return 0.0

    def remaining(self, now: float) -> int:
        """How many would be granted at once."""
        return int((self._slack - self.full_in(now) + _TOLERANCE) / self._spacing + 1.0)

    def full_in(self, now: float) -> float:
        """Seconds until the whole burst is there again."""
        return max(0.0, self._used_up_at - now)
