"""SweepLease in memory, for a process alone: it always leads.

Follows the rules of adapters/redis/lua/sweep_*.lua one for one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core.sweep.progress import Progress, is_last
from gateway.core.upstream.list_page import Page
from gateway.ports import Advanced, Clock, Turn


@dataclass(slots=True)
class _Board:
    """One partition's: trainings by row, those met by this sweep and those known."""

    progress: Progress = field(default_factory=Progress)
    met: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] | None = None
    read_at: float = -math.inf
    filled: set[str] = field(default_factory=set)


class LedgerSweepLease:
    """The sweeps of this process; `pause_after` (seconds): for how long a read counts."""

    lifetime = math.inf

    def __init__(self, clock: Clock, *, pause_after: float) -> None:
        self._clock = clock
        self._pause_after = pause_after
        self._boards: dict[str, _Board] = {}

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """Nobody else leads."""
        board, now = self._board(partition), self._clock.now()
        if was_read:
            board.read_at = now
        return Turn(True, board.progress, now - board.read_at < self._pause_after, now)

    async def advance(
        self, partition: str, progress: Progress, page: Page, before: Progress
    ) -> Advanced | None:
        """A page was dealt with."""
        board = self._board(partition)
        if before.offset == 0:
            board.met = {}
        ids = [training.id for training in page.items]
        board.met.update((each, before.offset + row) for row, each in enumerate(ids))
        absent = _absent(board, [before.last_id, *ids], before.offset == 0, is_last(page))
        board.progress = progress
        return Advanced(len(board.met), absent)

    async def note(self, partition: str, progress: Progress) -> bool:
        """Go on from there."""
        self._board(partition).progress = progress
        return True

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """A sweep came to its end."""
        board = self._board(partition)
        board.progress = progress
        if complete:
            board.known = board.met
        board.met = {}
        return True

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """These were stored from the list."""
        self._board(partition).filled.update(training_ids)

    async def filled(self, partition: str) -> list[str]:
        """All that were."""
        return sorted(self._board(partition).filled)

    async def forget_filled(self, partition: str) -> None:
        """None of them is any more."""
        self._board(partition).filled.clear()

    async def release(self, partition: str) -> None:
        """There is nobody to lead."""

    def _board(self, partition: str) -> _Board:
        return self._boards.setdefault(partition, _Board())


def _absent(board: _Board, ids: list[str], first: bool, last: bool) -> tuple[str, ...]:
    """Known ones between the neighbours on this page that are not there."""
    known = board.known or {}
    rows = [known[each] for each in ids if each in known]
    low = -math.inf if first else min(rows, default=None)
    high = math.inf if last else max(rows, default=None)
    if low is None or high is None:
        return ()
    between = sorted((row, each) for each, row in known.items() if low <= row <= high)
    return tuple(each for _, each in between[:400] if each not in board.met)
