"""Replicas that share leases, and a leader that a test moves by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.core.cache.policy import Rules, Windows
from gateway.core.instant import Instant
from gateway.core.vocabulary import EndingKind, FailureReason
from gateway.flow.request.response_selection import Answer
from gateway.ports import Ending, Taken
from tests.doubles.clock import FakeClock
from tests.doubles.lease import Board, BoardLease
from tests.doubles.stored import VERSION, entry_of
from tests.unit.flow.house import KEY, WINDOWS, Redis, Replica, settle

DONE = Ending(EndingKind.DONE)
GONE = Ending(EndingKind.GONE)
FAILED = Ending(EndingKind.FAILED, FailureReason.STATUS_5XX, 503, 7.0)


class Town:
    """One Redis with its leases, and the replicas on it; time passes as told, and nobody's
    sleep moves it."""

    def __init__(
        self, limit: int | None = None, windows: Windows = WINDOWS, rules: Rules | None = None
    ) -> None:
        self.clock = FakeClock(waiting=True)
        self.redis = Redis(self.clock, limit)
        self.board = Board(self.clock, self.redis.memory, self.redis.switch)
        self._windows, self._rules = windows, rules

    def replica(self) -> Replica:
        """Another replica."""
        lease = BoardLease(self.board)
        return Replica(
            self.clock, self.redis, windows=self._windows, rules=self._rules, lease=lease
        )

    async def pass_time(self, seconds: float) -> None:
        """Let time pass in steps so small that nobody is late."""
        for _ in range(round(seconds / 0.125)):
            await settle()
            self.clock.advance(0.125)
        await settle()

    def ending(self) -> EndingKind | None:
        """How the lease of the key was let go last; None where it was not."""
        record = self.board.record(KEY)
        return None if record is None or record.ending is None else record.ending.kind


class Leader:
    """A replica of which only the lease is there."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._lease = BoardLease(town.board)
        self._taken: Taken | None = None

    @property
    def taken(self) -> Taken:
        """What it took."""
        assert self._taken is not None
        return self._taken

    async def lead(self) -> None:
        """Take the lease, which must be free."""
        self._taken = await self._lease.take(KEY)
        assert self._taken.leads

    async def store(
        self,
        body: bytes | None = None,
        *,
        updated_at: Instant | None = VERSION,
        gone: bool = False,
    ) -> None:
        """Store what its fetch brought; `gone` makes it a 404."""
        start = self.taken.start
        entry = entry_of(start, None, b"{}") if gone else entry_of(start, updated_at, body)
        await self._town.redis.memory.store(KEY, entry.facts, entry, 60.0)

    async def renew(self) -> bool:
        """Hold it for longer."""
        return await self._lease.renew(KEY, self.taken.token)

    async def end(self, ending: Ending) -> None:
        """Let go of it."""
        await self._lease.release(KEY, self.taken.token, ending)


async def leader_of(town: Town) -> Leader:
    """A leader that leads already."""
    leader = Leader(town)
    await leader.lead()
    return leader


async def asking(replica: Replica, count: int = 1) -> list[asyncio.Task[Answer]]:
    """So many callers, come as far as they can."""
    tasks = [asyncio.create_task(replica.get()) for _ in range(count)]
    await settle()
    return tasks


def calls(replicas: Sequence[Replica]) -> int:
    """How many calls they made together."""
    return sum(replica.upstream.count for replica in replicas)
