"""Whether the list's items are the bytes that single calls answer, and may be stored as such.

Until enough of them were the same in a row, and from the first that differs, the list confirms
versions and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

# Items in a row that have to be byte for byte what a single call answered.
ENOUGH: Final = 20
# Of the items that are stored, one in so many is checked by a single call.
CHECK_EVERY: Final = 50


@dataclass(frozen=True, slots=True)
class Likeness:
    """What is known of it; `stopped`: it was relied upon, and was wrong."""

    same: int = 0
    filled: int = 0
    stopped: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether an item may stand for a single answer."""
        return self.same >= ENOUGH and not self.stopped

    def compared(self, *, same: bool) -> Likeness:
        """After one item was held against the single answer of the same version."""
        if same:
            return replace(self, same=min(self.same + 1, ENOUGH))
        return replace(self, same=0, stopped=self.stopped or self.is_proven)

    def after_filling(self, count: int) -> tuple[Likeness, int]:
        """After so many items were stored, and how many of them are to be checked."""
        filled = self.filled + count
        due = filled // CHECK_EVERY - self.filled // CHECK_EVERY
        return replace(self, filled=filled), due


UNPROVEN: Final = Likeness()
