"""The port of the sweep: its leader, its progress, and the list against what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.cache.marks import Ticket
from gateway.core.sweep.catalogue import Head, Leaf, News
from gateway.core.sweep.list_item import Listed, ListVerdict
from gateway.core.sweep.progress import Progress
from gateway.ports.tiers import Found


@dataclass(frozen=True, slots=True)
class Compared:
    """The verdict on an item of the list, and what is known of its training afterwards.

    ticket   the words with which the item can be stored. None: it cannot be stored
    is_held  the store has a body of the training. Without Redis: a training was stored
    """

    verdict: ListVerdict
    found: Found
    ticket: Ticket | None
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

    async def note(self, partition: str, progress: Progress, news: News | None = None) -> bool:
        """Store the progress, and what a page changed in the catalogue."""

    async def catalogue(
        self, partition: str, known: Mapping[int, Leaf]
    ) -> tuple[Head, Mapping[int, Leaf]] | None:
        """The catalogue that the leader noted, and its pages by their first rows. Pages that are
        `known` are not read again. None if there is none that answers."""

    async def compare(
        self, partition: str, items: Sequence[Listed], page: Ticket, *, stores: bool
    ) -> list[Compared]:
        """Compare each item with what is stored of its training (see `ListVerdict`). No body is
        read or written.

        - An item with the stored version confirms it, and the entry is kept for as long as after a
          single answer.
        - `stores` True: if a training has no mark, the mark is made, so that the item can be
          stored. A training without a mark had no order.

        `page` has the words that were read before the moment of the page. If it has none, no item
        can be stored.
        """
