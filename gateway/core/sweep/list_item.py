"""An item of the list: the version that a page states for one training."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.core.cache.entry import VERSION_TOLERANCE, Confirmation
from gateway.core.instant import Instant, from_seconds
from gateway.core.upstream.training import Training

_FOUND: Final = 200


class ListVerdict(StrEnum):
    """The result of comparing an item with what is known of its training."""

    # No answer is known.
    UNKNOWN = "unknown"
    # The item has the known version.
    CONFIRMED = "confirmed"
    # The item has a later version than the known one.
    NEWER = "newer"
    # The item has an older version, or one far in the future, or the last answer was a 404 or 410:
    # a single call decides.
    DOUBTFUL = "doubtful"
    # A single answer or an order is later than the page, or an order without a version still waits
    # for a single answer. The item is ignored.
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Listed:
    """What one item of the list states of its training, with fields as in `Entry`.

    `confirmed_at`: the moment for which the page speaks (when it was asked for, minus its `Age`).
    """

    training: Training
    date: str
    confirmed_at: float
    freshness_lifetime: float

    @property
    def training_id(self) -> str:
        """The id of the training."""
        return self.training.id

    @property
    def updated_at(self) -> Instant:
        """The stated version."""
        return self.training.updated_at

    @property
    def is_ahead(self) -> bool:
        """Whether the version was far in the future when the page was asked for."""
        return self.updated_at > from_seconds(self.confirmed_at + VERSION_TOLERANCE)

    def confirmation(self, generation: int) -> Confirmation:
        """The confirmation of an entry by this item, without header fields."""
        return Confirmation(
            status=_FOUND,
            headers=None,
            date=self.date,
            confirmed_at=self.confirmed_at,
            initial_age=0.0,
            freshness_lifetime=self.freshness_lifetime,
            generation=generation,
        )
