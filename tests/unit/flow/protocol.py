"""A world for replicas in which nothing arrives by itself: answers, Redis and the bus all wait.

Lives here: what is under way, and how it is let go. What must hold is in protocol_machine.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.marks import Facts
from gateway.core.cache.policy import Windows
from gateway.core.errors import RedisUnavailable, UpstreamTimeout
from gateway.core.http.fields import Reply
from gateway.core.instant import Instant, from_seconds, to_rfc3339
from gateway.core.vocabulary import FailureReason, Purpose
from gateway.ports import (
    Call,
    Charge,
    Confirmations,
    Ending,
    Found,
    Lease,
    Notice,
    Stored,
    Taken,
)
from tests.doubles.bus import Hub, HubBus
from tests.doubles.clock import FakeClock
from tests.doubles.clocks import TickingClock
from tests.doubles.lease import Board, BoardLease
from tests.doubles.redis_away import CommonBudget, Switch, SwitchedStore
from tests.doubles.shared import InMemoryShared
from tests.unit.flow.house import Redis, Replica, epochs, training

ID = "trn_1"
PARTITIONS = ("p1", "p2")
WINDOWS = Windows(
    lifetime=30.0, stale_while_revalidate=60.0, stale_if_error=120.0, soft_wait=3600.0
)


class SkewedClock(FakeClock):
    """A replica's clock: the shared one as it measured it, so much ahead of the truth."""

    def __init__(self, truth: FakeClock, ahead: float) -> None:
        super().__init__()
        self._truth = truth
        self._ahead = ahead

    @property
    def offset(self) -> float:
        return self._truth.offset + self._ahead

    def now(self) -> float:
        return self._truth.now() + self._ahead

    def monotonic(self) -> float:
        return self._truth.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._truth.sleep(seconds)


@dataclass(frozen=True)
class Called:
    """One call and what the upstream read for it at once; None is a training that is gone."""

    number: int
    state: int
    updated_at: Instant | None
    at: float


class History:
    """The upstream: reads its state when it is called, and answers when it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.states: list[Instant | None] = []
        self.calls: list[Called] = []
        self.answered: dict[Called, float] = {}  # when
        self.waiting: list[asyncio.Future[bool]] = []
        self.is_prompt = False
        self.has_etags = False
        self.edit()

    def edit(self) -> None:
        """Another version."""
        self.states.append(from_seconds(self._clock.now()))

    def remove(self) -> None:
        """Gone, until the next edit."""
        self.states.append(None)

    async def answer(self, call: Call) -> Reply:
        """What stood there when the call came, once it is let go."""
        called = Called(len(self.calls), len(self.states) - 1, self.states[-1], self._clock.now())
        self.calls.append(called)
        reply = self._reply(call, called)
        if self.is_prompt or await self._may_go():
            self.answered[called] = self._clock.monotonic()
            return reply
        raise UpstreamTimeout("the whole answer", FailureReason.READ_TIMEOUT, sent=True)

    async def _may_go(self) -> bool:
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting.append(told)
        try:
            return await told
        finally:
            self.waiting.remove(told)

    def _reply(self, call: Call, called: Called) -> Reply:
        headers = [(b"content-type", b"application/json"), (b"x-call", b"%d" % called.number)]
        if called.updated_at is None:
            return Reply(404, tuple(headers), b'{"statusCode": 404, "message": "No"}')
        etag = b'"%d"' % called.state
        if self.has_etags:
            headers.append((b"etag", etag))
        if call.etag == etag:
            return Reply(304, tuple(headers), b"")
        words = json.loads(training(0, call.training_id))
        words["updated_at"] = to_rfc3339(called.updated_at)
        return Reply(200, tuple(headers), json.dumps(words).encode())

    def call_of(self, entry: Entry) -> Called:
        """The call that last confirmed an entry."""
        return self.calls[int(dict(entry.headers)[b"x-call"])]


class Way(Switch):
    """One replica's way to Redis; what is `held` waits on it, and may be lost there. Where it
    `queues`, calls upstream wait for their turn."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = False
        self.queues = False
        self.waiting: list[asyncio.Future[bool]] = []

    async def pause(self, operation: str) -> None:
        """Wait where the way is held; raises where what waited is lost."""
        if not (self.queues if operation == "budget" else self.holds):
            return
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting.append(told)
        try:
            arrives = await told
        finally:
            self.waiting.remove(told)
        if not arrives:
            self.is_up = False
            raise RedisUnavailable(operation, "nothing came back")


class HeldStore(SwitchedStore):
    """What is looked up waits on its way back, what is stored on its way there."""

    def __init__(self, memory: InMemoryShared, way: Way) -> None:
        super().__init__(memory, way)
        self._way = way

    async def lookup(self, key: Key) -> Found:
        found = await super().lookup(key)
        await self._way.pause("lookup")
        return found

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Found]:
        standings = await super().confirm(keys)
        await self._way.pause("confirm")
        return standings

    async def store(
        self, key: Key, facts: Facts, entry: Entry | None, keep: float, *, is_item: bool = False
    ) -> Stored:
        await self._way.pause("store")
        return await super().store(key, facts, entry, keep, is_item=is_item)


class HeldBudget(CommonBudget):
    """A turn comes when it is let go."""

    def __init__(self, clock: FakeClock, way: Way) -> None:
        super().__init__(clock)
        self._way = way

    async def take(self, scope: str, purpose: Purpose) -> Charge:
        await self._way.pause("budget")
        return await super().take(scope, purpose)


class OwnLease(BoardLease):
    """The lease as one replica reaches it."""

    def __init__(self, board: Board, way: Way) -> None:
        super().__init__(board)
        self._way = way

    async def take(self, key: Key) -> Taken:
        self._way.pass_on("lease")
        return await super().take(key)

    async def renew(self, key: Key, token: str) -> bool:
        self._way.pass_on("lease")
        return await super().renew(key, token)

    async def release(self, key: Key, token: str, ending: Ending) -> None:
        self._way.pass_on("lease")
        await super().release(key, token, ending)

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        self._way.pass_on("lease")
        return await super().watch(key, token, patience)


class OwnRedis(Redis):
    """The Redis of all, as one replica reaches it."""

    def __init__(self, clock: FakeClock, memory: InMemoryShared, way: Way) -> None:
        super().__init__(clock)
        self.switch = way
        self.memory = memory
        self.store = HeldStore(memory, way)
        self.budget = HeldBudget(clock, way)


@dataclass(eq=False)
class Order:
    """An invalidation or a purge; `calls` were made before it began."""

    notice: Notice
    calls: int
    state: int | None = None
    confirmed: asyncio.Future[None] | None = None
    asked: int = 0
    done: set[HubBus] = field(default_factory=set)

    @property
    def is_open(self) -> bool:
        """Whether somebody still waits for confirmations."""
        return self.confirmed is not None and not self.confirmed.done()

    def concerns(self, key: Key) -> bool:
        """Whether it is about that key."""
        return self.notice.partition in (None, key.partition)

    def rules_out(self, called: Called) -> bool:
        """Whether nothing may be answered any more that this call brought."""
        if called.number >= self.calls:
            return False
        return self.state is None or called.state < self.state


class Post(Hub):
    """Notices lie in each replica's box until they are delivered, in any order, or lost."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes: dict[HubBus, list[tuple[Notice, Order | None]]] = defaultdict(list)
        self.opening: Order | None = None

    def tell(self, teller: HubBus, notice: Notice) -> int:
        return self._post(teller, notice, None)

    async def confirm(self, teller: HubBus, notice: Notice) -> Confirmations:
        order, self.opening = self.opening, None
        assert order is not None, "an order is opened before it is given"
        order.done.add(teller)
        order.asked = 1 + self._post(teller, notice, order)
        order.confirmed = asyncio.get_running_loop().create_future()
        if order.asked > 1:
            await order.confirmed
        return Confirmations(order.asked, len(order.done))

    def _post(self, teller: HubBus, notice: Notice, order: Order | None) -> int:
        others = [bus for bus in self.hearers if bus is not teller]
        for bus in others:
            self.boxes[bus].append((notice, order))
        return len(others)

    def deliver(self, bus: HubBus, pick: int, *, again: bool) -> None:
        """Hand over one of those that lie there; `again` leaves it there as well."""
        box = self.boxes[bus]
        notice, order = box[pick % len(box)]
        if not again:
            del box[pick % len(box)]
        self.hearers[bus](notice)
        if order is not None:
            order.done.add(bus)
            if len(order.done) >= order.asked:
                give_up(order)

    def lose(self, bus: HubBus, pick: int) -> None:
        """Deliver one of those that lie there to nobody."""
        box = self.boxes[bus]
        del box[pick % len(box)]


def give_up(order: Order) -> None:
    """Wait no longer for those who have not confirmed."""
    if order.confirmed is not None and order.is_open:
        order.confirmed.set_result(None)


class Node:
    """A replica, what lies before it, and what it was asked."""

    def __init__(self, world: World, ahead: float) -> None:
        self.way = Way()
        lease: Lease | None = OwnLease(world.board, self.way) if world.board else None
        self.replica = Replica(
            SkewedClock(world.clock, ahead),
            OwnRedis(world.clock, world.memory, self.way),
            windows=WINDOWS,
            hub=world.post,
            lease=lease,
        )
        self.replica.upstream.always = world.upstream.answer
        self.bus = list(world.post.hearers)[-1]
        self.tasks: list[asyncio.Task[object]] = []  # in order, so that a history can be repeated


class World:
    """Replicas on one Redis, one bus, one upstream, and one true time."""

    def __init__(self, skews: tuple[float, ...], *, has_lease: bool) -> None:
        self.clock = TickingClock(waiting=True)
        self.memory = InMemoryShared(self.clock, epochs())
        self.board = Board(self.clock, self.memory) if has_lease else None
        self.post = Post()
        self.upstream = History(self.clock)
        self.skews = skews
        self.nodes = [Node(self, ahead) for ahead in skews]

    async def crash(self, number: int) -> Node:
        """One replica dies with all it had under way; another one takes its place."""
        old = self.nodes[number]
        old.way.is_up = False  # who is killed lets go of nothing
        await end(old)
        del self.post.hearers[old.bus]
        self.nodes[number] = Node(self, self.skews[number])
        return self.nodes[number]

    def flush(self) -> None:
        """Redis forgets all it knew."""
        self.memory.flush()
        if self.board is not None:
            self.board.records.clear()
            self.board.followers.clear()


async def end(node: Node) -> None:
    """Cancel all that the replica does."""
    for task in list(node.tasks):
        task.cancel()
    await asyncio.gather(*node.tasks, return_exceptions=True)
    await node.replica.serving.under_way.land(0.0)


def caller_of(partition: str) -> Caller:
    """Whoever reads in that partition."""
    return Caller("passthrough", "default", partition, "default", f"token-{partition}", True)
