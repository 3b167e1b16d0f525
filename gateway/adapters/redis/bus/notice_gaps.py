"""Holes in the numbers of the notices: what tells a receiver that it missed one.

Numbers come from Redis, which counts up by one for each notice of any replica. Lives here: the
arithmetic. What follows from a hole is the bus's business.
"""

from __future__ import annotations


class Holes:
    """What was heard, compared with what was told."""

    def __init__(self) -> None:
        self._heard = 0
        self._told = 0

    @property
    def heard(self) -> int:
        """Up to this number everything was heard, or its absence was noticed."""
        return self._heard

    def start(self, told: int) -> None:
        """Begin to hear: `told` was Redis' count at a moment when notices arrived already."""
        self._heard = self._told = told

    def is_after_hole(self, number: int) -> bool:
        """Whether a notice is missing before this one."""
        return number > self._heard + 1

    def hear(self, number: int) -> None:
        """This one has been acted upon; late and repeated ones change nothing."""
        self._heard = max(self._heard, number)

    def catch_up(self, told: int, heard_before: int) -> bool:
        """Compare with Redis' count, `heard_before` from before it was asked for; whether
        something was missed.

        What Redis had told at the comparison before this one has had the time to arrive; what
        it has told since may still be on its way. A count below what was heard began anew.
        """
        missed = told < heard_before or self._heard < self._told
        if missed:
            self._heard = told
        self._told = told
        return missed
