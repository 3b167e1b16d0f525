"""The stretch of a window in which calls are counted: what is kept of a high rate is bounded.

Lives here: how a rate is divided. Nothing here counts calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.core.budget.rates import Rate
from gateway.core.budget.window_log import transit

# The times of so many calls are kept at most: Redis and the event loop stand still while they
# are written down for an unknown past.
MOST_KEPT: Final = 2_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """At most `limit` calls in any `span` seconds, of which a window has `parts`.

    Whatever stretches of that length a window consists of, they hold no more calls together
    than its rate allows; what cannot be divided is not used. The span has the margin for
    transit of the whole window.
    """

    limit: int
    span: float
    parts: int

    @classmethod
    def of(cls, rate: Rate) -> Stretch:
        """The longest one that keeps the times of few enough calls."""
        parts = -(-rate.limit // MOST_KEPT)
        return cls(rate.limit // parts, (rate.window + transit(rate.window)) / parts, parts)

    def whole(self, calls: int, rate: Rate) -> int:
        """So many calls of a stretch as calls of the window."""
        return rate.limit if calls == self.limit else calls * self.parts
