"""The port of the sweep: its leader, its progress, and the comparison of the list with floors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.cache.entry import Floor, Ticket
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.sweep.progress import Progress


@dataclass(frozen=True, slots=True)
class Compared:
    """The verdict on an item of the list, and the floor after the comparison.

    `is_held`: the store has a body of the training. Without Redis, `is_held` says that the last
    known answer was a training.
    """

    verdict: ListVerdict
    floor: Floor | None
    is_held: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """The state of a partition's sweep at the time `now` (on the shared clock): how far the sweep
    has come, and whether this replica `leads` it. `is_read`: callers of any replica have read from
    the partition lately."""

    leads: bool
    progress: Progress
    is_read: bool
    now: float


class SharedSweep(Protocol):
    """What all replicas know of the sweeps, one for each partition.

    Every call raises RedisUnavailable if it gets no answer within the timeout. Without the lead,
    `note` writes nothing, and returns False.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which the lead ends if the leader does not call `take` again."""

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """Become or stay the leader, or see how far another one has come. `was_read`: callers of
        this replica have read from the partition since the last call."""

    async def note(self, partition: str, progress: Progress) -> bool:
        """Store the progress."""

    async def compare(
        self, partition: str, items: Sequence[Listed], page: Ticket, *, stores: bool
    ) -> list[Compared]:
        """Compare each item with its floor (see `ListVerdict`). No body is read or written, and no
        floor is raised.

        - An item with the known version: the floor notes the confirmation, and the entry's body is
          kept for as long as after a single answer.
        - `stores` True: an UNKNOWN item gets a floor, so that the item can be stored.

        `page` is the ticket that was taken for the list before the page was requested.

        Redis compares all items in one step: half a millisecond for twenty items. In a cluster,
        each item is a step of its own.
        """
