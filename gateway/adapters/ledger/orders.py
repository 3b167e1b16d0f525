"""What a ledger knows of the orders for a training, which outlive the floors of its keys."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.core.entry import Floor
from gateway.core.instant import Instant
from gateway.ports import Found


@dataclass(slots=True)
class Orders:
    """`struck_at`: when all that was there was ruled out last; `bound`: the version below which
    nothing is good, since `bound_at`."""

    struck_at: float = -math.inf
    bound: Instant | None = None
    bound_at: float = 0.0

    def add(self, updated_at: int | None, now: float) -> None:
        """One more, for versions below `updated_at` (all, for None)."""
        if updated_at is None:
            self.struck_at = max(self.struck_at, now)
            return
        self.bound = Instant(max(updated_at, self.bound or updated_at))
        self.bound_at = max(self.bound_at, now)

    def found(self, struck_at: float) -> Found:
        """What they say of a key whose floor is lost, in a partition that was struck then."""
        floor = Floor("", 0, self.bound, "", self.bound_at)
        return Found(None, floor, max(struck_at, self.struck_at))
