"""What the sweep needs from the shared store: to compare pages with floors, and one sweep for all
replicas."""

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
    """The last single answer is not known."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What the list said of a training, compared with its floor, and the floor after that.

    `is_held`: the body that belongs to the floor is stored. `last` reads what the last single
    answer said beside it; None if that is not known.
    """

    verdict: ListVerdict
    floor: Floor | None
    is_held: bool
    last: Callable[[], Confirmation | None] = field(default=_unknown, compare=False)


class ListStore(Protocol):
    """What the list changes in floors. No body is read or written.

    Every call raises RedisUnavailable if it gets no answer within the timeout.
    """

    async def compare(self, partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        """Compare each item of a page with its floor. The known version is renewed, and its body
        kept for `keep` seconds. A later version raises the floor; what is stored below it may only
        be used for rescue. An item is ignored if something was learnt or ordered about its training
        since the page was asked for."""
        ...

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """Undo that the list raised the floor to this version, so that what is stored may be served
        as before. Returns whether it was undone: not if a single answer came since, nor if an order
        asked for that version or a later one."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """How far the sweep of a partition has come at `now`, and whether this replica `leads` it.

    `is_read`: callers of any replica have read from the partition lately.
    """

    leads: bool
    progress: Progress
    is_read: bool
    now: float


@dataclass(frozen=True, slots=True)
class Advanced:
    """After a page: how many different trainings this sweep has met, and which trainings are
    missing that the last complete sweep met at this place. Only the first 400 of these are looked
    at."""

    distinct: int
    absent: tuple[str, ...]


class SweepLease(Protocol):
    """One sweep of a partition for all replicas, and how far it has come.

    Every call raises RedisUnavailable if it gets no answer within the timeout.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which the lead ends unless it is taken again; infinite if there are no
        other replicas."""
        ...

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """Become the leader, stay the leader, or see how far another leader has come. `was_read`:
        callers of this replica have read from the partition since the last call of this method."""
        ...

    async def advance(
        self, partition: str, progress: Progress, page: Page, before: Progress
    ) -> Advanced | None:
        """Note that a page is done, which led from `before` to `progress`. Returns None, and writes
        nothing, if this replica does not lead any more."""
        ...

    async def note(self, partition: str, progress: Progress) -> bool:
        """Note the progress. Returns False, and writes nothing, if this replica does not lead
        any more."""
        ...

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """Note that a sweep has ended. If it was complete, its trainings are the known ones from
        now on."""
        ...

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """Note that these trainings were stored from the list."""
        ...

    async def filled(self, partition: str) -> list[str]:
        """The trainings that were stored from the list, as far as they are known."""
        ...

    async def forget_filled(self, partition: str) -> None:
        """Forget which trainings were stored from the list."""
        ...

    async def release(self, partition: str) -> None:
        """End the lead of this replica, so that another one can lead at once."""
        ...
