"""How far the list is believed. A *look* compares one item of the list with a single answer (the
answer to a call for this training alone)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final

# This many looks in a row must find the same bytes before items are stored.
LOOKS: Final = 5
# This many looks in a row with other bytes show that the list writes trainings in another way.
_DIFFERENT: Final = 2
# A list that was behind is believed again after this many looks in a row that agreed.
_AGAIN: Final = 2


class SweepStore(StrEnum):
    """Whether items are stored as entries. `auto`: if the first looks agreed."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Look(Enum):
    """The result of a look."""

    SAME = "same"  # the single answer has the version and the bytes of the item
    OTHER = "other"  # the same version with other bytes, or an older version
    BEHIND = "behind"  # the page is later than an answer with a later version, or with a 404


class ListState(StrEnum):
    """The state of the list in one word, for operators."""

    UNPROVEN = "unproven"  # too few looks have agreed: items are confirmed, but not stored
    EQUAL = "equal"  # items are stored
    DIFFERENT = "different"  # items have other bytes than single answers, and are not stored
    BEHIND = "behind"  # the list is older than single answers: nothing is confirmed or stored


@dataclass(frozen=True, slots=True)
class Belief:
    """What the last looks have shown.

    agreed   how many looks in a row had the same bytes, up to `LOOKS`
    differed how many looks in a row had other bytes
    behind   how many looks must still agree before pages count again (0: they count)
    about    the training that showed that the list is behind ("": none)
    stored   whether items were stored
    """

    agreed: int = 0
    differed: int = 0
    behind: int = 0
    about: str = ""
    stored: bool = False

    @property
    def is_behind(self) -> bool:
        """Whether pages confirm nothing and store nothing."""
        return self.behind > 0

    @property
    def is_different(self) -> bool:
        """Whether items have other bytes than single answers."""
        return self.differed >= _DIFFERENT

    def may_store(self, store: SweepStore) -> bool:
        """Whether items may be stored."""
        if self.is_behind or store is SweepStore.NEVER:
            return False
        return store is SweepStore.ALWAYS or self.agreed >= LOOKS

    def missing(self, store: SweepStore) -> int:
        """How many looks are missing before items may be stored."""
        if store is not SweepStore.AUTO or self.is_behind or self.is_different:
            return 0
        return LOOKS - self.agreed

    def state(self, store: SweepStore) -> ListState:
        """The state in one word."""
        if self.is_behind:
            return ListState.BEHIND
        if self.may_store(store):
            return ListState.EQUAL
        return ListState.DIFFERENT if self.is_different else ListState.UNPROVEN

    def after(self, look: Look, training_id: str) -> Belief:
        """The belief after another look, at this training."""
        if look is Look.BEHIND:
            return replace(self, agreed=0, behind=_AGAIN, about=training_id)
        known = replace(
            self,
            behind=max(0, self.behind - 1),
            about="" if training_id == self.about else self.about,
        )
        if look is Look.SAME:
            return replace(known, agreed=min(self.agreed + 1, LOOKS), differed=0)
        return replace(known, agreed=0, differed=self.differed + 1)

    def purged(self) -> Belief:
        """The belief after a purge: nothing from the list is stored, and looks begin anew."""
        return replace(self, agreed=0, stored=False)


NO_LOOKS: Final = Belief()
