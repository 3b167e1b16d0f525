"""What a page of the list says of one training: which version there is, and when that was so.

The list confirms versions. Whether its bytes are those of a single answer is `list_fidelity`'s
business.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.core.cache.entry import VERSION_TOLERANCE, Confirmation
from gateway.core.cache.policy import JITTER, Windows, date_of
from gateway.core.http.fields import Reply, delta_seconds
from gateway.core.instant import Instant, from_seconds
from gateway.core.upstream.training import Training, digest

_FOUND: Final = 200


class ListVerdict(StrEnum):
    """What a page of the list said of a training, held against what is known of it."""

    UNKNOWN = "unknown"  # nothing is known of it
    CONFIRMED = "confirmed"  # the version known: renewed
    NEWER = "newer"  # a later version, or one of what was gone: the floor is raised
    DOUBTFUL = "doubtful"  # an older version, or one far ahead: a single call has to tell
    CONTRADICTED = "contradicted"  # the list is not believed about it; a single call may tell
    PASSED = "passed"  # something was learnt, or ordered, since the page was asked for


@dataclass(frozen=True, slots=True)
class Listed:
    """One item, as far as what is stored of it is concerned; fields as in `Entry`.

    `confirmed_at` is when the page was asked for; `digest` is of the item's own bytes.
    """

    training_id: str
    updated_at: Instant
    digest: str
    date: str
    confirmed_at: float
    initial_age: float
    freshness_lifetime: float

    @property
    def is_ahead(self) -> bool:
        """Whether its version was far in the future when it was listed."""
        return self.updated_at > from_seconds(self.confirmed_at + VERSION_TOLERANCE)

    def confirmation(self, generation: int) -> Confirmation:
        """What it renews of an entry of that generation: its times, not its header fields."""
        return Confirmation(
            status=_FOUND,
            headers=None,
            date=self.date,
            confirmed_at=self.confirmed_at,
            initial_age=self.initial_age,
            freshness_lifetime=self.freshness_lifetime,
            generation=generation,
        )


def listed(
    training: Training, reply: Reply, asked_at: float, windows: Windows, jitter: float
) -> Listed:
    """What the item says, of a page asked for at that time (the shared clock).

    As with single answers, freshness counts from the moment the call was sent.
    """
    return Listed(
        training_id=training.id,
        updated_at=training.updated_at,
        digest=digest(training.body),
        date=date_of(reply, asked_at),
        confirmed_at=asked_at,
        initial_age=delta_seconds(reply.header(b"age")),
        freshness_lifetime=windows.lifetime * (1.0 - JITTER * jitter),
    )
