"""The ports of the sweep: comparing the list with floors, and the lease by which one replica sweeps
for all."""

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
    """No confirmation is known."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The verdict on an item of the list, and the floor after the comparison.

    `is_held`: the store has a body of the training. Without Redis, `is_held` says that the last
    known answer was a training. `last` returns the latest confirmation of the body, by a page or by
    the answer to a call for this training alone (None: not known).
    """

    verdict: ListVerdict
    floor: Floor | None
    is_held: bool
    last: Callable[[], Confirmation | None] = field(default=_unknown, compare=False)


class ListStore(Protocol):
    """Changes floors according to the list. No body is read or written. Every call raises
    RedisUnavailable if it gets no answer within the timeout."""

    async def compare(self, partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        """Compare each item with its floor.

        - An item with the known version: the entry's body is kept for `keep` seconds from now.
        - An item with a later version: the floor rises. The stored entry may then only be used for
          rescue.
        - An item is ignored if an order about the training came after the page was requested. It is
          also ignored if a call for the training began after the page was requested, and was
          answered.

        Redis compares all items in one step: half a millisecond for twenty items. In a cluster,
        each item is a step of its own.
        """
        ...

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """The list has raised the floor of the key to `updated_at`. Lower the floor to the version
        that it had before, or to the later version that a soft order named. Returns whether the
        floor was lowered, by this call or by an earlier one whose reply was lost. If so, the stored
        entry may be served as before, unless the soft order ruled it out.

        The floor stays if the answer to a call for this training alone was accepted after the list
        raised the floor, or if an order named `updated_at` or a later version. It also stays if
        Redis has perhaps lost an order.
        """
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """The state of a partition's sweep at the time `now` (on the shared clock): how far the sweep
    has come, and whether this replica `leads` it. `is_read`: callers of any replica have read from
    the partition lately."""

    leads: bool
    progress: Progress
    is_read: bool
    now: float


@dataclass(frozen=True, slots=True)
class Advanced:
    """The state of a sweep after a page.

    distinct  how many different trainings the sweep has met
    absent    missing trainings: the last complete sweep met them between the trainings of this
              page, but this sweep has not met them. Only the first 400 trainings of the last
              complete sweep in this range are compared
    """

    distinct: int
    absent: tuple[str, ...]


class SweepLease(Protocol):
    """One sweep of a partition for all replicas.

    Every call raises RedisUnavailable if it gets no answer within the timeout. Without the lead,
    `advance`, `note` and `finish` write nothing, and return None or False.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which the lead ends if the leader does not call `take` again."""
        ...

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """Become or stay the leader, or see how far another one has come. `was_read`: callers of
        this replica have read from the partition since the last call."""
        ...

    async def advance(
        self, partition: str, progress: Progress, page: Page, before: Progress
    ) -> Advanced | None:
        """Store the `progress` after a page, and which trainings the page has. `before` is the
        progress before the page."""
        ...

    async def note(self, partition: str, progress: Progress) -> bool:
        """Store the progress after the sweep was switched off."""
        ...

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """Store the progress after the end of a sweep. Later sweeps are compared with the last
        `complete` sweep."""
        ...

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """Remember that these trainings are about to be stored from the list."""
        ...

    async def filled(self, partition: str, most: int) -> list[str]:
        """Up to `most` of the trainings that `note_filled` was called with, if Redis still has
        their record. Some were perhaps not stored."""
        ...

    async def forget_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """Remove these trainings from the record that `note_filled` has made."""
        ...

    async def release(self, partition: str) -> None:
        """End the lead of this replica at once."""
        ...
