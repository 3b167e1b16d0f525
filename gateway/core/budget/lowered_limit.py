"""A limit that turned out lower than it was set: how low after a refusal, and its slow way back.

Somebody else may use the same key. Nothing here counts calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Of what was spent when upstream refused: the rest is left to whoever spends it.
_KEPT: Final = 0.8
# A limit is never lowered below this part of what was set.
_LEAST: Final = 10
# Windows without a refusal before the way back begins, and then a twentieth in each.
_HOLD: Final = 10
_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class Lowered:
    """From `since` on at most `limit` calls in a window."""

    limit: int
    since: float

    def now(self, full: int, window: float, now: float) -> int:
        """What holds of a limit that was set to `full`."""
        windows = max(0, int((now - self.since) / window) - _HOLD)
        return max(1, min(full, self.limit + windows * max(1, full // _STEPS)))


def after_refusal(full: int, holds: int, spent: int, *, is_known: bool = True) -> int:
    """The limit after a 429 to the last of `spent` calls within one window, where `holds` held.

    Not `is_known`: others who spend are not to be told from what was spent by us before. It is
    then halved at most, however few calls are known of.
    """
    counted = spent if is_known else max(spent, full // 2)
    return min(holds, max(1, full // _LEAST, int(counted * _KEPT)))
