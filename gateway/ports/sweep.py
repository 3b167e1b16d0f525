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

    `is_held`: the store has a body of the training. Without Redis: the last known answer was a
    training. `last` returns the latest confirmation of the body, by a single answer or by a page
    (None: not known).
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

        - The known version: the entry's body is kept for `keep` seconds from now.
        - A later version: the floor rises. The stored entry may then only be used for rescue.
        - Ignored: after the page was asked for, there was an order about the training, or a call
          for it began and brought an answer.

        Redis does nothing else meanwhile: half a millisecond for twenty items. In a cluster, each
        item is a step of its own.
        """
        ...

    async def take_back(self, key: Key, updated_at: Instant) -> bool:
        """Lower the floor of the key, which the list raised to `updated_at`. Returns whether the
        floor was lowered. The stored entry may then be served as before.

        The floor stays if a single answer was accepted after the list raised it, if an order named
        `updated_at` or a later version, or if Redis may have lost an order.
        """
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """How far the sweep of a partition has come at `now` (on the shared clock), and whether this
    replica `leads` it. `is_read`: callers of any replica have read from the partition lately."""

    leads: bool
    progress: Progress
    is_read: bool
    now: float


@dataclass(frozen=True, slots=True)
class Advanced:
    """The state of a sweep after a page.

    distinct  how many different trainings the sweep has met
    absent    trainings that the last complete sweep met at this place of the list, and this sweep
              did not. Only 400 are looked at
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
        """Note that a page changed the progress from `before` to `progress`."""
        ...

    async def note(self, partition: str, progress: Progress) -> bool:
        """Note a progress that changed without a page."""
        ...

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """Note that a sweep has ended. Later sweeps are compared with the last `complete` sweep."""
        ...

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """Note that these trainings are about to be stored from the list."""
        ...

    async def filled(self, partition: str) -> list[str]:
        """The trainings that `note_filled` has noted, as far as Redis still knows them. Some may
        not have been stored."""
        ...

    async def forget_filled(self, partition: str) -> None:
        """Forget what `note_filled` has noted."""
        ...

    async def release(self, partition: str) -> None:
        """End the lead of this replica at once."""
        ...
