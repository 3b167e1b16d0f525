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

    `is_held`: the store has a body of the training. Without Redis, the store has no bodies. Then
    `is_held` says whether the last answer that the store knows was a training. `last` returns the
    latest confirmation of the body, by a single answer or by a page (None: not known).
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
        """Compare each item with its floor.

        - If the item has the known version, the entry's body is kept for `keep` seconds from now.
        - If the item has a later version, the floor rises. The stored entry may then only be used
          for rescue.
        - If an order about its training came after the page was asked for, the item is ignored.
        - If a call for its training began after the page was asked for, and brought an answer, the
          item is ignored too.

        All items are compared in one step, in which Redis does nothing else (half a millisecond for
        twenty items). In a cluster, each item is a step of its own.
        """
        ...

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """Lower the floor of the key, after the list raised it to `updated_at`. The stored entry
        may then be served as before. Returns whether the floor was lowered.

        The floor stays if a single answer was accepted after the list raised the floor, if an order
        named `updated_at` or a later version, or if Redis may have lost an order.
        """
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """How far the sweep of a partition has come at `now` (on the clock that the replicas share),
    and whether this replica `leads` it.

    `is_read`: callers of any replica have read from the partition lately.
    """

    leads: bool
    progress: Progress
    is_read: bool
    now: float


@dataclass(frozen=True, slots=True)
class Advanced:
    """The state of a sweep after a page.

    distinct  how many different trainings the sweep has met
    absent    trainings that the last complete sweep met at this place of the list, and that this
              sweep has not met. Only the first 400 trainings at this place are looked at
    """

    distinct: int
    absent: tuple[str, ...]


class SweepLease(Protocol):
    """One sweep of a partition for all replicas, and how far it has come.

    Every call raises RedisUnavailable if it gets no answer within the timeout. If this replica does
    not lead any more, `advance`, `note` and `finish` write nothing, and return None or False.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which the lead ends if the leader does not call `take` again. Infinite if
        there are no other replicas."""
        ...

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """Become or stay the leader, or see how far another leader has come. `was_read`: callers of
        this replica have read from the partition since the last call of this method."""
        ...

    async def advance(
        self, partition: str, progress: Progress, page: Page, before: Progress
    ) -> Advanced | None:
        """Note that a page changed the progress from `before` to `progress`."""
        ...

    async def note(self, partition: str, progress: Progress) -> bool:
        """Note a progress that changed without a page, for example because the sweep was switched
        off."""
        ...

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """Note that a sweep has ended. If the sweep was `complete`, later sweeps compare the list
        with the trainings that this sweep met (see `Advanced.absent`)."""
        ...

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """Note that these trainings are about to be stored from the list."""
        ...

    async def filled(self, partition: str) -> list[str]:
        """The trainings that `note_filled` has noted, as far as Redis still knows them. Some of
        them may not have been stored."""
        ...

    async def forget_filled(self, partition: str) -> None:
        """Forget which trainings were stored from the list."""
        ...

    async def release(self, partition: str) -> None:
        """End the lead of this replica, so that another replica can lead at once."""
        ...
