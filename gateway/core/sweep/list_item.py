"""An item of the list: the version that a page states for one training.

A single answer is the answer to a call for one training. If the bytes of items and single answers
agree, items may be stored. If the versions disagree, a single call decides which one is true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final

from cachetools import FIFOCache

from gateway.core.cache.entry import VERSION_TOLERANCE, Confirmation
from gateway.core.cache.policy import JITTER, Windows, date_of
from gateway.core.http.fields import Reply, delta_seconds
from gateway.core.instant import Instant, from_seconds
from gateway.core.upstream.training import Training, digest

_FOUND: Final = 200


class ListVerdict(StrEnum):
    """The result of comparing an item with the known versions of its training."""

    # No answer is known. The floor, if there is one, has no version, or the item's version, or a
    # later version. The floor stays.
    UNKNOWN = "unknown"
    # The item has the known version: the entry is renewed.
    CONFIRMED = "confirmed"
    # The item has a later version, or the last answer was a 404 or 410: the floor is raised.
    NEWER = "newer"
    # The item has an older version, or one far in the future: a single call decides.
    DOUBTFUL = "doubtful"
    # The item is not believed: another row of the page states another version of the training, or
    # an earlier single answer contradicted the list about the training.
    CONTRADICTED = "contradicted"
    # The item is perhaps outdated: after the page was requested, an order came, or a fetch began
    # that has brought an answer. The item is ignored.
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Listed:
    """The version that one item of the list states, with fields as in `Entry`.

    `confirmed_at`: when the page was asked for. `digest`: the digest of the item's own bytes.
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
        """Whether the version was far in the future when the page was asked for."""
        return self.updated_at > from_seconds(self.confirmed_at + VERSION_TOLERANCE)

    def confirmation(self, generation: int) -> Confirmation:
        """The confirmation of an entry by this item, without header fields."""
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
    """The item of a page that was asked for at `asked_at`, on the clock that all replicas share."""
    return Listed(
        training_id=training.id,
        updated_at=training.updated_at,
        digest=digest(training.body),
        date=date_of(reply, asked_at),
        confirmed_at=asked_at,
        initial_age=delta_seconds(reply.header(b"age")),
        freshness_lifetime=windows.lifetime * (1.0 - JITTER * jitter),
    )


# This many items in a row must have agreed with single answers before items are stored.
ENOUGH: Final = 20
# Of this many stored items, one is checked by a single call.
CHECK_EVERY: Final = 50


@dataclass(frozen=True, slots=True)
class Likeness:
    """How far the bytes of items agree with the bytes of single answers.

    same     how many items in a row agreed, up to `ENOUGH`
    filled   how many items were stored
    stopped  an item differed after `ENOUGH` had agreed, so no more items are stored
    """

    same: int = 0
    filled: int = 0
    stopped: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether items may be stored."""
        return self.same >= ENOUGH and not self.stopped

    def compared(self, *, same: bool) -> Likeness:
        """The likeness after comparing an item with a single answer of its version."""
        if same:
            return replace(self, same=min(self.same + 1, ENOUGH))
        return replace(self, same=0, stopped=self.stopped or self.is_proven)

    def after_filling(self, count: int) -> tuple[Likeness, int]:
        """The likeness after `count` items were stored, and how many single calls have to check
        them."""
        filled = self.filled + count
        due = filled // CHECK_EVERY - self.filled // CHECK_EVERY
        return replace(self, filled=filled), due


UNPROVEN: Final = Likeness()


# The versions that the rows of one page state for one training.
Claims = frozenset[Instant]

# How many trainings with a contradiction are remembered, and how many claims for each. A forgotten
# contradiction costs another single call.
_MOST_TRAININGS: Final = 10_000
_MOST_CLAIMS: Final = 4


class Belief(Enum):
    """The decision about the claims of a page."""

    BELIEVED = "believed"
    ASKED = "asked"  # a single call has to decide
    IGNORED = "ignored"  # a single call has decided, and the claims are not new


@dataclass(frozen=True, slots=True)
class _Contradiction:
    """The contradiction about one training.

    wrong     the claims that single answers contradicted
    answered  the version of the last single answer (None: there is no such training)
    sweep     the number of the last sweep with a wrong claim
    """

    wrong: tuple[Instant, ...]
    answered: Instant | None
    sweep: int


class Contradictions:
    """The contradictions between the list and single answers in one partition."""

    def __init__(self, most: int = _MOST_TRAININGS) -> None:
        self._known: FIFOCache[str, _Contradiction] = FIFOCache(most)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, training_id: str) -> bool:
        return training_id in self._known

    def belief(self, training_id: str, claims: Claims, sweep: int) -> Belief:
        """Decide about the claims of a page. After a contradiction, the list is not believed about
        the training until a whole sweep had no wrong claim. If `sweep` is below the noted number,
        Redis has lost the progress, and sweeps are counted from 0 again."""
        known = self._known.get(training_id)
        if known is None:
            return Belief.BELIEVED if len(claims) == 1 else Belief.ASKED
        wrong = claims - {known.answered}
        if not wrong <= set(known.wrong):
            return Belief.ASKED
        if wrong or sweep < known.sweep:
            self._known[training_id] = replace(known, sweep=sweep)
        elif sweep > known.sweep + 1:
            del self._known[training_id]
            return Belief.BELIEVED
        return Belief.IGNORED

    def answered(
        self, training_id: str, claims: Claims, version: Instant | None, sweep: int
    ) -> bool:
        """Note a single answer, and return whether it contradicts the claims of a page. `version`
        None: there is no such training."""
        wrong, known = claims - {version}, self._known.get(training_id)
        before = () if known is None else known.wrong
        if wrong or known is not None:
            kept = (*sorted(wrong), *(each for each in before if each not in claims))
            last = sweep if wrong or known is None else known.sweep
            self._known[training_id] = _Contradiction(kept[:_MOST_CLAIMS], version, last)
        return bool(wrong)
