"""The ports of the sweep: comparing the pages of the list with floors, and the lease by which one
replica sweeps for all."""

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
    """Nothing is known of the answer that confirmed the body last."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of comparing an item of the list with its floor: the verdict, and the floor after
    the comparison.

    `is_held`: the store knows a body. `last` returns the latest confirmation of that body, by a
    single answer or by a page. It returns None if that confirmation is not known.
    """

    verdict: ListVerdict
    floor: Floor | None
    is_held: bool
    last: Callable[[], Confirmation | None] = field(default=_unknown, compare=False)


class ListStore(Protocol):
    """Changes floors according to the versions that the list states. No body is read or written.

    Every call raises RedisUnavailable if it gets no answer within the timeout.
    """

    async def compare(self, partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        """Compare each item with its floor, in one step: while the items are compared, Redis does
        nothing else (half a millisecond for twenty). An item with the known version renews the
        entry. From then on the entry's body is kept for `keep` seconds. An item with a later
        version raises the floor. From then on the stored entry may only be used for rescue. An item
        is ignored if an answer or an order concerning its training came after the page was asked
        for."""
        ...

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """The list has raised the floor of the key to `updated_at`. Lower that floor again, so that
        the stored entry may be served as before. Returns whether the floor was lowered. The floor
        is not lowered if a single answer was accepted after the list raised the floor, or if an
        order asked for `updated_at` or a later version."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """How far the sweep of a partition has come at `now` (the shared clock), and whether this
    replica `leads` it.

    `is_read`: callers of any replica have read from the partition lately.
    """

    leads: bool
    progress: Progress
    is_read: bool
    now: float


@dataclass(frozen=True, slots=True)
class Advanced:
    """The state of a sweep after a page. `distinct` is the number of different trainings that the
    sweep has met. `absent` are trainings that the last complete sweep met at this place of the
    list, and that this sweep has not met. Only the first 400 trainings at this place are
    compared."""

    distinct: int
    absent: tuple[str, ...]


class SweepLease(Protocol):
    """One sweep of a partition for all replicas, and how far it has come.

    Every call raises RedisUnavailable if it gets no answer within the timeout.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which the lead ends if it is not taken again. Infinite if there are no
        other replicas."""
        ...

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """Become the leader, stay the leader, or see how far another leader has come. `was_read`:
        callers of this replica have read from the partition since the last call of this method."""
        ...

    async def advance(
        self, partition: str, progress: Progress, page: Page, before: Progress
    ) -> Advanced | None:
        """Note that a page is done. The page changed the progress from `before` to `progress`.
        Returns None, and writes nothing, if this replica does not lead any more."""
        ...

    async def note(self, partition: str, progress: Progress) -> bool:
        """Note the progress. Returns False, and writes nothing, if this replica does not lead
        any more."""
        ...

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """Note that a sweep has ended. If the sweep was complete, the trainings that it met are the
        known trainings from now on. Returns False, and writes nothing, if this replica does not
        lead any more."""
        ...

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """Note that these trainings are about to be stored from the list."""
        ...

    async def filled(self, partition: str) -> list[str]:
        """The trainings that were stored from the list, and those that were refused then. Trainings
        that Redis lost are missing."""
        ...

    async def forget_filled(self, partition: str) -> None:
        """Forget which trainings were stored from the list."""
        ...

    async def release(self, partition: str) -> None:
        """End the lead of this replica, so that another replica can lead at once."""
        ...
