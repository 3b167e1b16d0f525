"""Orders that this replica may have missed, and until when it may answer with what they ruled out.

An order that a replica does not confirm is answered with a time: from then on nothing older comes
from that replica. Lives here: that time, for what was held before. What may not be answered is
the business of confirming and tiers.
"""

from __future__ import annotations

import math

from gateway.ports import Clock


class MissedOrders:
    """The gaps in what was heard: when each was over (the shared clock), and the time (monotonic)
    that was named for orders given in it. Those whose time has come are one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gaps: list[tuple[float, float]] = []

    def note(self, until: float) -> None:
        """A gap is over; until then its orders count with older answers."""
        now = self._clock.monotonic()
        past = [over for over, end in self._gaps if end <= now]
        gaps = [(max(past), -math.inf)] if past else []
        gaps += [gap for gap in self._gaps if gap[1] > now]
        self._gaps = [*gaps, (self._clock.now(), until)]

    def until(self, confirmed_at: float) -> float:
        """Until when (monotonic) what was confirmed then (the shared clock) may be answered without
        Redis' word; infinite where no order was missed since."""
        return min((end for over, end in self._gaps if confirmed_at <= over), default=math.inf)
