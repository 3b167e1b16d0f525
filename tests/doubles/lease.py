"""Leases in memory: what replicas of one test share, and each replica's hold on it."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

from gateway.core.cache.entry import FetchStart, Key
from gateway.core.vocabulary import EndingKind
from gateway.ports import Clock, Ending, SharedStore, Taken
from tests.doubles.redis_away import Switch

LIFETIME = 3.0


@dataclass
class _Record:
    """Who leads, or led: `ending` is set once it let go."""

    token: str
    start: FetchStart
    until: float
    ending: Ending | None = None


class Board:
    """Where the leases of several replicas stand. `muted`: its endings reach nobody, and are
    found by whoever looks. `told` counts the endings that were sent."""

    def __init__(self, clock: Clock, shared: SharedStore, switch: Switch | None = None) -> None:
        self.clock = clock
        self.shared = shared
        self.switch = switch or Switch()
        self.muted = False
        self.told = 0
        self.renewals = 0
        self.looks = 0
        self.tokens = (f"{number:016x}" for number in itertools.count(1))
        self.records: dict[Key, _Record] = {}
        self.followers: dict[Key, dict[BoardLease, None]] = {}  # in the order in which they came

    def record(self, key: Key) -> _Record | None:
        """What stands there, unless it lapsed."""
        found = self.records.get(key)
        return found if found is not None and found.until > self.clock.monotonic() else None

    def held(self, key: Key, token: str) -> _Record | None:
        """The record that is held with this token."""
        found = self.record(key)
        return found if found and found.token == token and found.ending is None else None


class BoardLease:
    """One replica's Lease."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.lifetime = LIFETIME
        self.heard: dict[str, Ending] = {}
        self.woken = asyncio.Event()

    async def take(self, key: Key) -> Taken:
        board = self._board
        board.switch.pass_on("lease")
        start = await board.shared.begin(key)
        stored = (await board.shared.lookup(key)).stored
        confirmed = 0.0 if stored is None else stored.confirmed
        record = board.record(key)
        if record is not None and record.ending is None and _has_same_mark(record, start):
            board.followers.setdefault(key, {})[self] = None
            return Taken(start, record.token, leads=False, confirmed=confirmed)
        token = next(board.tokens)
        board.records[key] = _Record(token, start, board.clock.monotonic() + LIFETIME)
        return Taken(start, token, leads=True, confirmed=confirmed)

    async def renew(self, key: Key, token: str) -> bool:
        board = self._board
        board.switch.pass_on("lease")
        record = board.held(key, token)
        if record is None:
            return False
        board.renewals += 1
        record.until = board.clock.monotonic() + LIFETIME
        return True

    async def release(self, key: Key, token: str, ending: Ending) -> None:
        board = self._board
        board.switch.pass_on("lease")
        record = board.held(key, token)
        if record is None:
            return
        record.ending, record.until = ending, board.clock.monotonic() + LIFETIME
        for follower in board.followers.pop(key, {}):
            board.told += 1
            if not board.muted:
                follower.heard[token] = ending
                follower.woken.set()

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        await self._wait(token, patience)
        if token in self.heard:
            return self.heard[token]
        board = self._board
        board.switch.pass_on("lease")
        board.looks += 1
        record = board.record(key)
        if record is None or record.token != token:
            return Ending(EndingKind.GONE)
        if record.ending is None:
            board.followers.setdefault(key, {})[self] = None
        return record.ending

    async def _wait(self, token: str, patience: float) -> None:
        sleeping = asyncio.ensure_future(self._board.clock.sleep(patience))
        try:
            while token not in self.heard and not sleeping.done():
                self.woken.clear()
                waking = asyncio.ensure_future(self.woken.wait())
                try:
                    await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waking.cancel()
        finally:
            sleeping.cancel()


def _has_same_mark(record: _Record, start: FetchStart) -> bool:
    """Whether no order about the training came since the holder's fetch began."""
    return record.start.ticket.training == start.ticket.training
