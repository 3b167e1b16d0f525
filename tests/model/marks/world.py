"""Replicas, Redis and an API in virtual time, and all that may happen to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.model.marks.api import Api
from tests.model.marks.records import (
    BELIEVE_AFTER,
    FRESH,
    L1_LIFETIME,
    MEMBERS,
    PARTITIONS,
    PERIOD,
    REPLICAS,
    TRAININGS,
    Entry,
    Key,
    Order,
    Place,
)
from tests.model.marks.redis import Redis
from tests.model.marks.replica import Replica, Steps
from tests.model.marks.truth import Answer, Broken, Kind, Truth

A_MOMENT = 0.01
KEYS = tuple(Key(partition, training) for partition in PARTITIONS for training in TRAININGS)
RECORDS = (
    *(Place("all"), MEMBERS),
    *(Place("partition", each) for each in PARTITIONS),
    *(Place("training", each) for each in TRAININGS),
    *(Place(kind, each) for kind in ("entry", "refusal") for each in KEYS),
)
FAILOVERS = (None, "all", "partition", "training", "members")


class Step(NamedTuple):
    """One thing that happens, with the numbers that choose what it happens to. The docstring of
    the method that does it is its sentence."""

    name: str
    a: int = 0
    b: int = 0
    c: int = 0

    def __str__(self) -> str:
        sentence = getattr(World, f"_{self.name}").__doc__ or ""
        return sentence.format(a=self.a, b=self.b, c=self.c)


@dataclass(eq=False, slots=True)
class Running:
    """An operation that has begun, and has not ended."""

    name: str
    replica: Replica
    steps: Steps[None]
    family: int

    def is_beat_of(self, replica: Replica) -> bool:
        return self.name == "beat" and self.replica is replica


class World:
    """A history: steps are taken, and the truth checks each answer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.running: list[Running] = []
        self.begun = self.family = 0
        self.told: list[tuple[float, object]] = []
        self.api = Api(lambda: self.now)
        self.redis = Redis(lambda: self.now)
        self.truth = Truth(self)
        self.replicas = [Replica(number, self) for number in range(REPLICAS)]
        self.redis.put(MEMBERS, replace(self.redis.members(), is_settled=True))
        self._steady(9, 20, 0)

    def tell(self, what: object) -> None:
        """Remember what happened: a step, an answer, or a sentence."""
        self.told.append((self.now, what))

    def start(self, name: str, replica: Replica, steps: Steps[None]) -> None:
        """Begin an operation; it runs until its first await."""
        running = Running(name, replica, steps, self.family)
        self.running.append(running)
        self._advance(running)

    # What replicas do to Redis, as far as the truth has to know.

    def store(self, entry: Entry) -> Entry | None:
        before = self.redis.entry(entry.key)
        stored = self.redis.store(entry)
        if stored:
            self.truth.stored(before, stored, entry.read)
        return stored

    def write(self, order: Order) -> None:
        self.redis.write(order)
        order.written_at = self.now

    def apply_item(self, item: Entry) -> None:
        before = self.redis.entry(item.key)
        self.redis.apply_item(item)
        after = self.redis.entry(item.key)
        if after is not None and after is not before:
            self.truth.stored(before, after, item.read)

    # Steps.

    def take(self, step: Step) -> None:
        """Let one thing happen; what cannot happen now does not."""
        self.tell(step)
        getattr(self, f"_{step.name}")(step.a, step.b, step.c)
        self.now += A_MOMENT

    def _ask(self, replica: int, key: int, _: int) -> None:
        """Replica {a}: a request for key {b}."""
        self._begin("ask", replica, lambda it: it.request(KEYS[key]))

    def _order(self, replica: int, what: int, how: int) -> None:
        """Replica {a}: an order about {b}, how {c}."""
        is_hard, has_version = bool(how % 2), how > 1
        order = Order(is_hard, self.now)
        if what < len(TRAININGS):
            order.training = what
            order.version = self.api.latest(what) if has_version else None
        elif what < len(TRAININGS) + len(PARTITIONS):
            order.partition = PARTITIONS[what - len(TRAININGS)]
        self._begin("order", replica, lambda it: it.order(order))

    def _write(self, replica: int, training: int, _: int) -> None:
        """Replica {a}: a write to training {b}."""
        self._begin("write", replica, lambda it: self._forward(it, training))

    def _forward(self, replica: Replica, training: int) -> Steps[None]:
        yield
        self.api.edit(training)
        yield
        yield from replica.order(Order(True, self.now, training=training))

    def _page(self, replica: int, partition: int, age: int) -> None:
        """Replica {a}: a page of tenant {b}, {c} s old."""
        self._begin("page", replica, lambda it: it.read_page(PARTITIONS[partition], float(age)))

    def _beat(self, replica: int, _: int, __: int) -> None:
        """Replica {a}: a heartbeat."""
        if not any(each.is_beat_of(self.replicas[replica]) for each in self.running):
            self._begin("beat", replica, lambda it: it.beat())

    def _begin(self, name: str, number: int, steps: Callable[[Replica], Steps[None]]) -> None:
        self.begun += 1
        self.family = self.begun
        replica = self.replicas[number]
        if replica.stopped_until <= self.now:
            self.start(name, replica, steps(replica))

    def _go(self, which: int, times: int, _: int) -> None:
        """Operation {a} goes on by {b} awaits."""
        families = sorted({each.family for each in self.running})
        family = self.begun if which < 0 or not families else families[which % len(families)]
        for _ in range(times):
            for running in [each for each in self.running if each.family == family]:
                self._advance(running)

    def _advance(self, running: Running, times: int = 1) -> None:
        if running.replica.stopped_until > self.now:
            return
        self.family = running.family
        try:
            for _ in range(times):
                next(running.steps)
        except StopIteration:
            self.running.remove(running)

    def _hear(self, replica: int, times: int, _: int) -> None:
        """Replica {a} reads {b} notices."""
        it = self.replicas[replica]
        while it.inbox and times and it.stopped_until <= self.now:
            it.hear()
            times -= 1

    def _finish(self, *_: int) -> None:
        """What is in flight ends, and all notices are read."""
        for _round in range(60):
            for replica in self.replicas:
                self._hear(replica.number, 9, 0)
            for running in list(self.running):
                self._advance(running)
            self.now += A_MOMENT

    def _steady(self, which: int, tenths: int, _: int) -> None:
        """Replica {a} (9: each) sends heartbeats for {b} tenths of a second."""
        end = self.now + tenths / 10
        while self.now < end:
            for replica in self.replicas if which == 9 else [self.replicas[which]]:
                self._beat(replica.number, 0, 0)
                for beat in [each for each in self.running if each.is_beat_of(replica)]:
                    self._advance(beat, times=40)
                self._hear(replica.number, 99, 0)
            self.now += 1.1

    def _wait(self, tenths: int, _: int, __: int) -> None:
        """{a} tenths of a second pass."""
        self.now += tenths / 10

    def _edit(self, training: int, what: int, _: int) -> None:
        """Training {a}: edit 0, delete 1, restore 2, go back 3: {b}."""
        (self.api.edit, self.api.delete, self.api.restore, self.api.go_back)[what](training)

    def _down(self, is_down: int, _: int, __: int) -> None:
        """The API is down: {a}."""
        self.api.is_down = bool(is_down)

    def _refuse(self, partition: int, is_refused: int, _: int) -> None:
        """The token of tenant {a} is refused: {b}."""
        if is_refused:
            self.api.refused.add(PARTITIONS[partition])
        else:
            self.api.refused.discard(PARTITIONS[partition])

    def _cut(self, replica: int, is_cut: int, _: int) -> None:
        """Replica {a} is cut off from Redis: {b}."""
        it = self.replicas[replica]
        it.is_cut, it.cut_at = bool(is_cut), self.now
        if is_cut:
            self._close(it)

    def _close(self, replica: Replica) -> None:
        replica.inbox.clear()
        replica.inbox.append(None)
        replica.is_open, replica.lost_connection = False, True

    def _lose_notice(self, replica: int, _: int, __: int) -> None:
        """Replica {a} loses a notice."""
        inbox = self.replicas[replica].inbox
        if inbox and inbox[0] is not None:
            inbox.popleft()

    def _lose(self, record: int, _: int, __: int) -> None:
        """Redis loses record {a}."""
        if self.redis.records.get(RECORDS[record]):
            self.redis.put(RECORDS[record], None)
        if RECORDS[record].kind == "training":
            self.running = [each for each in self.running if each.name != "page"]
        self.truth.floors.clear()

    def _flush(self, _: int, __: int, ___: int) -> None:
        """Redis is emptied."""
        for place in RECORDS:
            self.redis.put(place, None)
        self.truth.floors.clear()

    def _fail_over(self, which: int, _: int, __: int) -> None:
        """A failover of Redis, nodes {a}."""
        kind = FAILOVERS[which]
        self.redis.fail_over(kind)
        self.truth.fail_over(kind)
        for replica in self.replicas:
            if kind in {None, "members"}:
                replica.is_unknown = not replica.membership.is_known(self.redis.members())
                self._close(replica)
            else:
                replica.lost_connection = True

    def _stop(self, replica: int, tenths: int, _: int) -> None:
        """Replica {a} is stopped for {b} tenths of a second."""
        self.replicas[replica].stopped_until = self.now + tenths / 10

    def _lapse(self, replica: int, tenths: int, _: int) -> None:
        """Replica {a}: until {b} tenths of a second after it is not listed."""
        end = self.replicas[replica].membership.heard + PERIOD + tenths / 10
        self.now = max(self.now, end)

    def _restart(self, replica: int, _: int, __: int) -> None:
        """Replica {a} ends, and begins anew."""
        self.running = [each for each in self.running if each.replica.number != replica]
        self.truth.restarted(replica)
        self.replicas[replica] = Replica(replica, self)

    def _clock(self, tenths: int, _: int, __: int) -> None:
        """Redis' clock is set by {a} tenths of a second."""
        self.redis.offset += tenths / 10
        self.truth.slack += abs(tenths) / 10

    # After all faults.

    def _calm_down(self, *_: int) -> None:
        """All faults end, each training is asked for again and again, and an order is given."""
        self.api.is_down = False
        self.api.refused.clear()
        for replica in self.replicas:
            replica.is_cut, replica.stopped_until = False, 0.0
        for seconds in (2.0, FRESH + 1, *[BELIEVE_AFTER] * 4):
            self._steady(9, int(seconds * 10), 0)
            self._not_current()
        missing = []
        for _round in range(2):
            self._steady(9, int(L1_LIFETIME * 10) + 5, 0)
            missing.append(self._not_current())
        for number, key in missing[0] & missing[1]:
            raise Broken(f"replica {number}: {key} is not current in the end")
        order = Order(True, self.now)
        self.start("order", self.replicas[0], self.replicas[0].order(order))
        self._finish_all()
        if self.truth.promises[order].since > self.now:
            raise Broken("an order is not answered 200 in the end")

    def _not_current(self) -> set[tuple[int, Key]]:
        """Each is asked for everywhere: those that are not served as current, as they are."""
        found = set()
        for replica in self.replicas:
            for key in KEYS:
                self.start("ask", replica, replica.request(key))
                self._finish_all()
                answer, version = self.told[-1][1], self.api.at(key.training, self.now)
                match answer:
                    case Answer(kind=Kind.STORED, entry=entry) if entry.version == version:
                        pass
                    case _:
                        found.add((replica.number, key))
        return found

    def _finish_all(self) -> None:
        """All operations go on, and all notices are read, until nothing is left."""
        while self.running:
            for replica in self.replicas:
                self._hear(replica.number, 100, 0)
            for running in list(self.running):
                self._advance(running)
            self.now += A_MOMENT
