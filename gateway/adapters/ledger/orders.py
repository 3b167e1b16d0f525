"""What a ledger knows of the orders for a training, which outlive the floors of its keys."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.core.instant import Instant


@dataclass(slots=True)
class Orders:
    """`struck_at`: when the last one came; `bound`: the version below which nothing is good."""

    struck_at: float = -math.inf
    bound: Instant | None = None

    def add(self, updated_at: int | None, now: float) -> None:
        """One more, for versions below `updated_at` (all, for None)."""
        self.struck_at = max(self.struck_at, now)
        if updated_at is not None:
            self.bound = Instant(max(updated_at, self.bound or updated_at))
