"""What the sweep asks of the shared store: pages held against floors, one sweep for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.core.cache.entry import Confirmation, Floor, Key
from gateway.core.instant import Instant
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.sweep.progress import Progress
from gateway.core.upstream.list_page import Page


def _unknown() -> None:
    """Nothing is known of it here."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What the list said of a training, held against its floor, and the floor after that.

    `is_held`: a body is stored that the floor is about. `last` reads what the last single answer
    brought beside it; None where that is not known here.
    """

    verdict: ListVerdict
    floor: Floor | None
    is_held: bool
    last: Callable[[], Confirmation | None] = field(default=_unknown, compare=False)


class ListStore(Protocol):
    """What the list does to floors and bodies; no body is read or written.

    Every call raises RedisUnavailable where it cannot be answered within the timeout.
    """

    async def compare(self, partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        """Hold a page against what is known, each training by itself: the version known is
        renewed with its body for `keep` seconds, a later one raises the floor, and what was
        stored below it may rescue. Nothing is done where something was learnt or ordered since
        the page was asked for."""
        ...

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """No longer know a version that the list alone claimed, so that what is stored stands as
        before; whether that was so. Nothing is done where a single answer or an order said
        anything since."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """How the sweep of a partition stands at `now`, and whether this replica `leads` it.

    `is_read`: callers of some replica read of the partition lately.
    """

    leads: bool
    progress: Progress
    is_read: bool
    now: float


@dataclass(frozen=True, slots=True)
class Advanced:
    """After a page: how many different trainings this sweep has met, and which of the last
    complete one should have stood on the page and did not."""

    distinct: int
    absent: tuple[str, ...]


class SweepLease(Protocol):
    """One sweep of a partition for all replicas, and how far it has come.

    Every call raises RedisUnavailable where it cannot be answered within the timeout.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which the lead lapses unless taken again; infinite where nobody else
        is."""
        ...

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """Take the lead, or keep it; where another replica has it, look on. `was_read`: callers
        of this replica read of the partition since it was told last."""
        ...

    async def advance(
        self, partition: str, progress: Progress, page: Page, before: Progress
    ) -> Advanced | None:
        """A page was dealt with: go on from `progress`, where it was `before`. None where the
        lead is lost, and then nothing is written."""
        ...

    async def note(self, partition: str, progress: Progress) -> bool:
        """Go on from there; False where the lead is lost, and then nothing is written."""
        ...

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """A sweep came to its end; of a complete one the trainings are known from now on."""
        ...

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """These were stored from the list."""
        ...

    async def filled(self, partition: str) -> list[str]:
        """All that were, as far as it is known."""
        ...

    async def forget_filled(self, partition: str) -> None:
        """None of them is any more."""
        ...

    async def release(self, partition: str) -> None:
        """Let another replica lead at once."""
        ...
