"""Those who wait for their turn in this replica: bounded, and fair among callers.

Each has a place whose turn is paid already. Nothing here pays or asks upstream.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from gateway.core.budget.priority import Rank
from gateway.ports import Clock

# Each is a task and a connection; far more than the turns of one deadline.
MOST: Final = 500

Paid = TypeVar("Paid")


@dataclass(slots=True, eq=False)
class Place(Generic[Paid]):
    """A turn at `at` (monotonic), `paid` by or for `who`; a caller that is ousted loses it.
    `ended` is set where the wait ends before the turn comes."""

    scope: str
    rank: Rank
    who: str
    at: float
    paid: Paid
    is_ousted: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class WaitQueue(Generic[Paid]):
    """The places in this replica."""

    def __init__(self, clock: Clock, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._places: list[Place[Paid]] = []

    @property
    def is_full(self) -> bool:
        """Whether nobody else may wait."""
        return len(self._places) >= self._most

    async def wait(self, place: Place[Paid]) -> bool:
        """Wait for the turn; False where the place was lost to another caller."""
        self._places.append(place)
        turn = asyncio.ensure_future(self._clock.sleep(place.at - self._clock.monotonic()))
        ended = asyncio.ensure_future(place.ended.wait())
        try:
            await asyncio.wait({turn, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (turn, ended):
                task.cancel()
            await asyncio.gather(turn, ended, return_exceptions=True)
            if place in self._places:
                self._places.remove(place)
        return not place.is_ousted

    def oust(self, scope: str, rank: Rank, who: str) -> Place[Paid] | None:
        """The last place of the caller who has most, for one who has at least two less; None
        where nobody has: so that no caller fills the line against the others."""
        rivals = [each for each in self._places if (each.scope, each.rank) == (scope, rank)]
        counts = Counter(each.who for each in rivals)
        if not counts:
            return None
        hog, most = counts.most_common(1)[0]
        if most < counts[who] + 2:
            return None
        last = max((each for each in rivals if each.who == hog), key=lambda each: each.at)
        self._places.remove(last)
        last.is_ousted = True
        last.ended.set()
        return last

    def wake(self, scope: str) -> None:
        """Nobody waits any longer for a turn of that scope: each asks now whether it may go."""
        for place in self._places:
            if place.scope == scope:
                place.ended.set()
