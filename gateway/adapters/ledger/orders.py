"""What a ledger knows of the orders for a training, which outlive the floors of its keys."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.core.instant import Instant


@dataclass(slots=True)
class Orders:
    """`struck_at`: when the last one came that leaves nothing to rescue; `bound`: the version below
    which such orders left nothing; `soft_bound`: below which soft ones left it for rescue."""

    struck_at: float = -math.inf
    bound: Instant | None = None
    soft_bound: Instant | None = None

    def add(self, updated_at: int | None, now: float) -> None:
        """One more, for versions below `updated_at` (all, for None)."""
        self.struck_at = max(self.struck_at, now)
        if updated_at is not None:
            self.bound = Instant(max(updated_at, self.bound or updated_at))

    def add_soft(self, updated_at: int | None) -> None:
        """One more that leaves what it rules out for rescue."""
        if updated_at is not None:
            self.soft_bound = Instant(max(updated_at, self.soft_bound or updated_at))

    @property
    def lowest(self) -> Instant | None:
        """The version below which nothing is taken, whatever asked for it."""
        asked = [each for each in (self.bound, self.soft_bound) if each is not None]
        return max(asked, default=None)
