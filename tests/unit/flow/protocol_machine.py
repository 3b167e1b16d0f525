"""Two or three replicas and all that may happen to them, in any order (Hypothesis decides).

What must hold meanwhile is in protocol_truth; when all is quiet again, every replica must answer
with what is true.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core.cache.entry import Key
from gateway.core.errors import CallWithheld, UpstreamFailure
from gateway.core.vocabulary import NoticeKind
from gateway.flow.request.response_selection import Ask
from gateway.ports import Notice
from tests.doubles.bus import HubBus
from tests.unit.flow.house import settle
from tests.unit.flow.protocol import ID, PARTITIONS, Node, Order, World, caller_of, end, give_up
from tests.unit.flow.protocol_truth import KEYS, L1_LIFETIME, Truth

numbers = st.integers(0, 2)
picks = st.integers(0, 5)
keys = st.sampled_from([KEYS[0], KEYS[0], *KEYS])
rarely = st.sampled_from([False, False, False, True])
# What the faults begin with that we fear most: a fetch, or a look-up, that does not know of an
# order, a loss or another fetch.
preludes = st.sampled_from(
    [
        "",
        "fetch 0",
        "store 0, fetch 1",
        "fetch 0, fetch 1",
        "store 1, hold 0, fetch 0, order 1",
        "store 0, order 1, forget",
        "store 0, store 1, order 1, forget",
        "fetch 0, order 1, flush, fetch 1",
        "fetch 1, order 0, flush, fetch 0",
        "queue 0, fetch 0, order 1, store 1, edit",
    ]
)


class Replicas(RuleBasedStateMachine):
    """Any steps; whatever is under way waits until a step lets it go."""

    @initialize(
        skews=st.lists(st.sampled_from([0.0, 0.4, -0.4]), min_size=2, max_size=3),
        has_etags=st.booleans(),
        has_lease=st.booleans(),
        prelude=preludes,
    )
    def start(self, skews: list[float], has_etags: bool, has_lease: bool, prelude: str) -> None:
        self.runner = asyncio.Runner()
        self.world = World(tuple(skews), has_lease=has_lease)
        self.world.upstream.has_etags = has_etags
        self.truth = Truth(self.world)
        for node in self.world.nodes:
            self._confirm_what_is_read(node)
        for step in filter(None, prelude.split(", ")):
            self._begin_with(*step.split())

    def _begin_with(self, what: str, number: str = "0") -> None:
        match what:
            case "fetch" | "store":
                self.ask(int(number), KEYS[0], is_prompt=what == "store")
            case "order":
                self.invalidate(int(number), is_bound=False)
                self._do(self._give_up)
            case "hold":
                self._node(int(number)).way.holds = True
            case "queue":
                self._node(int(number)).way.queues = True
            case "edit":
                self.world.upstream.edit()
            case "forget":
                self._do(lambda: self.world.memory.lose_mark(ID))
            case _:
                self.flush()

    # What callers, editors and operators do.

    @rule(number=numbers, key=keys, is_prompt=st.booleans())
    def ask(self, number: int, key: Key, is_prompt: bool) -> None:
        self.world.upstream.is_prompt = is_prompt
        self._start(self._node(number), self._ask(self._node(number), key))
        self.world.upstream.is_prompt = False

    @rule(key=keys)
    def ask_everywhere(self, key: Key) -> None:
        for number in range(len(self.world.nodes)):
            self.ask(number, key, is_prompt=False)

    @rule(is_gone=rarely)
    def edit(self, is_gone: bool) -> None:
        upstream = self.world.upstream
        upstream.remove() if is_gone else upstream.edit()

    @rule(number=numbers, is_bound=st.booleans(), soft=st.booleans())
    def invalidate(self, number: int, is_bound: bool, soft: bool = False) -> None:
        states = self.world.upstream.states
        bound = states[-1] if is_bound else None
        notice = Notice(NoticeKind.INVALIDATED, (ID,), updated_at=bound, soft=soft)
        state = None if bound is None else len(states) - 1
        self._excuse_all()
        order = Order(notice, len(self.world.upstream.calls), state)
        self._order(self._node(number), order)

    @rule(number=numbers, soft=st.booleans(), partition=st.sampled_from([None, *PARTITIONS]))
    def purge(self, number: int, soft: bool, partition: str | None) -> None:
        notice = Notice(NoticeKind.PURGED, partition=partition, soft=soft)
        order = Order(notice, len(self.world.upstream.calls))
        self._excuse_all()
        self._order(self._node(number), order)

    def _excuse_all(self) -> None:
        for node in self.world.nodes:
            for key in KEYS:
                self.truth.excuse(node, key)

    # What the network does.

    @precondition(lambda self: self.world.upstream.waiting)
    @rule(pick=picks, is_lost=rarely)
    def answer(self, pick: int, is_lost: bool) -> None:
        waiting = self.world.upstream.waiting
        self._do(lambda: waiting[pick % len(waiting)].set_result(not is_lost))

    @precondition(lambda self: self._boxes())
    @rule(number=numbers, pick=picks, how=st.sampled_from(["once", "once", "again", "never"]))
    def deliver(self, number: int, pick: int, how: str) -> None:
        bus = self._boxes()[number % len(self._boxes())]
        if how == "never":
            self.world.post.lose(bus, pick)
        else:
            self._do(lambda: self.world.post.deliver(bus, pick, again=how == "again"))

    @precondition(lambda self: any(node.way.waiting for node in self.world.nodes))
    @rule(pick=picks, is_lost=rarely, holds=st.booleans())
    def let_redis_go(self, pick: int, is_lost: bool, holds: bool) -> None:
        waiting = [(node, told) for node in self.world.nodes for told in node.way.waiting]
        node, told = waiting[pick % len(waiting)]
        node.way.holds = node.way.queues = holds
        self._do(lambda: told.set_result(not is_lost))

    # What breaks, and what time does.

    @rule(
        what=st.sampled_from(
            [
                *("hold", "queue", "lose", "find", "gap", "crash", "evict", "give up"),
                *("forget training", "forget partition", "forget body"),
            ]
        ),
        number=numbers,
        key=keys,
    )
    def trouble(self, what: str, number: int, key: Key) -> None:
        node = self._node(number)
        match what:
            case "hold":
                node.way.holds = True
            case "queue":
                node.way.queues = True
            case "lose" | "find":
                self.truth.note_away(node)
                node.way.is_up = what == "find"
            case "gap":
                self._do(node.replica.invalidation.gap)
            case "crash":
                self._run(self.world.crash(number % len(self.world.nodes)))
                self._confirm_what_is_read(self._node(number))
            case "evict":
                node.replica.local.drop(key)
            case "forget training":
                self._do(lambda: self.world.memory.lose_mark(ID))
            case "forget partition":
                self._do(lambda: self.world.memory.lose_mark(None, key.partition))
            case "forget body":
                self._do(lambda: self.world.memory.lose_body(key))
            case _:
                self._do(self._give_up)
        self._run(self._forgive())

    @precondition(lambda self: self.world.upstream.waiting)
    @rule()
    def flush(self) -> None:
        self._do(self.world.flush)
        self._run(self._forgive())

    @rule(seconds=st.sampled_from([0.2, 2.0, 6.0, 12.0, 31.0, 65.0, 130.0]))
    def wait(self, seconds: float) -> None:
        if seconds > 1.0:  # nothing waits for Redis for so long
            self._do(self._lose_all)
        self._run(_settle_all())
        self._do(lambda: self.world.clock.advance(seconds))

    @invariant()
    def nothing_was_wrong(self) -> None:
        if hasattr(self, "truth"):
            self.truth.check()

    def teardown(self) -> None:
        if not hasattr(self, "truth"):
            return
        try:
            self._run(self._calm_down())
            self.truth.check()
        finally:
            self._run(self._end())
            self.runner.close()

    async def _calm_down(self) -> None:
        """Everything arrives, all windows pass, and each replica tells the truth."""
        world = self.world
        world.upstream.is_prompt = True
        for node in world.nodes:
            node.way.holds = node.way.queues = False
        self._lose_all()
        for told in list(world.upstream.waiting):
            told.set_result(True)
        await _settle_all()
        for node in world.nodes:
            node.way.is_up = True
        world.clock.advance(500.0)
        for node in world.nodes:
            for key in KEYS:
                answer = await node.replica.gateway.get(Ask(key, caller_of(key.partition)))
                if self.truth.called(answer).state != len(world.upstream.states) - 1:
                    self.truth.faults.append(f"at the end {answer}")

    async def _forgive(self) -> None:
        for node in self.world.nodes:
            await self.truth.forgive(node)

    async def _end(self) -> None:
        self._give_up()
        for node in self.world.nodes:
            await end(node)

    def _give_up(self) -> None:
        for order in self.truth.orders:
            give_up(order)

    def _lose_all(self) -> None:
        for node in self.world.nodes:
            for told in list(node.way.waiting):
                told.set_result(False)

    async def _ask(self, node: Node, key: Key) -> None:
        # A replica that Redis does not hear is a member for a while, not for ever.
        until = self.world.clock.monotonic() + L1_LIFETIME
        node.bus.listed_until = math.inf if node.way.is_up else min(node.bus.listed_until, until)
        asked = self.truth.ask(node, key)
        self.truth.judge(asked, await node.replica.gateway.get(Ask(key, caller_of(key.partition))))

    def _order(self, node: Node, order: Order) -> None:
        """Give it, and have it given to the others once Redis has acted."""
        if not node.way.is_up:
            return
        self.world.post.opening = order
        self.truth.orders.append(order)
        notice = order.notice
        if notice.kind is NoticeKind.PURGED:
            self._start(node, node.replica.invalidation.purge(notice.partition, soft=notice.soft))
        else:
            ids, bound, soft = notice.training_ids, notice.updated_at, notice.soft
            self._start(node, node.replica.invalidation.invalidate(ids, bound, soft=soft))

    def _confirm_what_is_read(self, node: Node) -> None:
        self._start(node, node.replica.tiers.confirming.run(node.replica.observer))

    def _start(self, node: Node, work: Coroutine[object, object, object]) -> None:
        async def start() -> None:
            task = asyncio.create_task(work)
            node.tasks.append(task)
            task.add_done_callback(lambda task: self._ended(node, task))

        self._run(start())

    def _ended(self, node: Node, task: asyncio.Task[object]) -> None:
        node.tasks.remove(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, UpstreamFailure | CallWithheld):
            self.truth.faults.append(repr(error))

    def _run(self, work: Coroutine[object, object, object]) -> None:
        """Do it, and let everybody run who can."""

        async def and_settle() -> None:
            await work
            await settle()
            for node in self.world.nodes:
                self.truth.note_away(node)
            await self.truth.note_marks()

        self.runner.run(and_settle())

    def _do(self, act: Callable[[], object]) -> None:
        async def do() -> None:
            act()

        self._run(do())

    def _node(self, number: int) -> Node:
        return self.world.nodes[number % len(self.world.nodes)]

    def _boxes(self) -> list[HubBus]:
        return [node.bus for node in self.world.nodes if self.world.post.boxes[node.bus]]


async def _settle_all() -> None:
    """Time jumps next: answers of before are to be judged before, however many there are."""
    for _ in range(10):
        await settle()
