"""Trainings about which the list contradicts single answers, and what of the list is believed.

Lives here: which claim of the list is believed, asked about, or ignored. A claim is the version
that an item of the list has. Bounded; forgetting a contradiction costs a single call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from cachetools import FIFOCache

from gateway.core.instant import Instant

Claims = frozenset[Instant]

# Trainings, and the claims of each, that are remembered.
_MOST: Final = 10_000
_MOST_CLAIMS: Final = 4


class Belief(Enum):
    """What to do with the claims of a page about one training."""

    BELIEVED = "believed"
    ASKED = "asked"  # a single call tells
    IGNORED = "ignored"  # a single call told, and the claims are the same


@dataclass(frozen=True, slots=True)
class _Contradiction:
    """`wrong` are the claims that single answers contradicted, `answered` is the version of the
    last single answer, `sweep` the number of the last sweep that contradicted it."""

    wrong: tuple[Instant, ...]
    answered: Instant | None
    sweep: int


class Contradictions:
    """Those of one partition."""

    def __init__(self, most: int = _MOST) -> None:
        self._known: FIFOCache[str, _Contradiction] = FIFOCache(most)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, training_id: str) -> bool:
        return training_id in self._known

    def belief(self, training_id: str, claims: Claims, sweep: int) -> Belief:
        """What to do with the claims of a page of that sweep. The list is believed about a
        training again once it has agreed with single answers for a whole sweep."""
        known = self._known.get(training_id)
        if known is None:
            return Belief.BELIEVED if len(claims) == 1 else Belief.ASKED
        wrong = claims - {known.answered}
        if not wrong <= set(known.wrong):
            return Belief.ASKED
        if wrong:
            self._known[training_id] = replace(known, sweep=sweep)
        elif sweep > known.sweep + 1:
            del self._known[training_id]
            return Belief.BELIEVED
        return Belief.IGNORED

    def answered(
        self, training_id: str, claims: Claims, version: Instant | None, sweep: int
    ) -> bool:
        """Note what a single answer said after the claims of a page of that sweep (None: there is
        no such training); whether it contradicts them."""
        wrong, known = claims - {version}, self._known.get(training_id)
        before = () if known is None else known.wrong
        if wrong or known is not None:
            kept = (*sorted(wrong), *(each for each in before if each not in claims))
            last = sweep if wrong or known is None else known.sweep
            self._known[training_id] = _Contradiction(kept[:_MOST_CLAIMS], version, last)
        return bool(wrong)
