"""A cluster: whom to ask for a key, and what its nodes say of each other and of themselves.

Lives here: the map of slots, whom to believe about it, and following redirections. Each node has
a breaker of its own, so that one that is away takes its share of the keys and no more.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, ClassVar, Final, TypeVar

import redis.asyncio as driver
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from gateway.adapters.redis.connect.clock_offsets import settled
from gateway.adapters.redis.connect.node import Command, Node, OnTime
from gateway.adapters.redis.connect.transport import Route
from gateway.adapters.redis.connect.url import Place
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock, Observer

SLOTS: Final = REDIS_CLUSTER_HASH_SLOTS

# So many slots are one region: nodes hold long runs of slots, few of which end within one.
_REGION: Final = 256

# Where nobody holds a slot there is no place.
Holders = list[Place | None]


def slot_of(name: str) -> int:
    """The slot of a key: of what stands in its braces, if anything does."""
    return key_slot(name.encode())


def read_holders(reply: Sequence[Any], asked: Place) -> Holders:
    """The holder of each slot, out of a reply to CLUSTER SLOTS; raises ValueError.

    A node that knows no name of its own leaves it out, and means the one by which it was asked.
    """
    holders: Holders = [None] * SLOTS
    for first, last, master, *_ in reply:
        if not 0 <= first <= last < SLOTS:
            raise ValueError("a slot that is none")
        host = (master[0] or b"").decode()
        place = (asked[0] if host in ("", "?") else host, int(master[1]))
        holders[first : last + 1] = [place] * (last + 1 - first)
    return holders


@cache
def tag_of(first: int, last: int) -> str:
    """The shortest number that as a hash tag belongs to one of these slots."""
    return next(str(n) for n in itertools.count() if first <= slot_of(f"{{{n}}}") <= last)


@cache
def regions() -> tuple[str, ...]:
    """A tag for each run of slots, in their order: what is to stand near every slot has one
    copy a run, and stays near when slots change hands."""
    return tuple(tag_of(first, first + _REGION - 1) for first in range(0, SLOTS, _REGION))


def region_of(slot: int) -> str:
    """The tag near that slot."""
    return regions()[slot // _REGION]


def tags_of(holders: Holders) -> tuple[str, ...]:
    """For each holder a hash tag of its own, in the order of their slots."""
    firsts = {place: slot for slot, place in reversed(list(enumerate(holders))) if place}
    return tuple(tag_of(slot, _last(holders, slot)) for slot in sorted(firsts.values()))


def tag_held(place: Place, holders: Holders) -> str | None:
    """The hash tag that `tags_of` has for that holder; None where it holds no slot."""
    if place not in holders:
        return None
    first = holders.index(place)
    return tag_of(first, _last(holders, first))


def _last(holders: Holders, first: int) -> int:
    """The last slot of the run of the same holder that begins there."""
    run = itertools.takewhile(lambda slot: holders[slot] == holders[first], range(first, SLOTS))
    return max(run)


T = TypeVar("T")


class OnTheMove(RedisUnavailable):
    """The key is being handed over from one node to another; those beside it are not."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation, "its slot is on the move")


class Member(Node):
    """One node; it is away also while it calls its cluster down.

    `holders` and `epoch` are what it said last: the higher its epoch, the later its knowledge.
    """

    questions: ClassVar = ("CLUSTER INFO", "CLUSTER SLOTS")
    redirections: ClassVar = (AskError, TryAgainError)  # MOVED is an AskError to the driver

    def __init__(self, place: Place, route: Route, *clocks: Any, **options: Any) -> None:
        """`place` is how the others know it; the rest as a Node's."""
        super().__init__(route.to(place), *clocks, name=f"{place[0]}:{place[1]}", **options)
        self.place = place
        self.holders: Holders | None = None
        self.epoch = -1
        self.tag: str | None = None
        self._said: Any = None

    def judge(self, answers: Sequence[Any]) -> None:
        """Believe it only while its cluster is up: one that was cut off knows the past."""
        for refused in answers:
            if isinstance(refused, Exception):
                raise refused
        info, slots = answers
        if info["cluster_state"] != "ok":
            raise ClusterDownError("The cluster is down")
        self.epoch = int(info["cluster_current_epoch"])
        if slots != self._said:
            self._said, self.holders = slots, read_holders(slots, self.place)
            self.tag = tag_held(self.place, self.holders)


class _Asking(driver.Redis):
    """For a key that is being handed over, and at the new node already: each command on one
    connection, behind the word that lets it in."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        send: Any = super().execute_command
        await send("ASKING")
        return await send(*args, **options)


def asking(command: Command[T]) -> Command[T]:
    """The same command to the node that an ASK names."""

    async def asked(client: driver.Redis) -> T:
        pool = client.connection_pool
        async with _Asking(connection_pool=pool, single_connection_client=True) as one:
            return await command(one)

    return asked


# What all replicas write to stands here; its node's clock is the one that they share.
_SHARED_SLOT: Final = slot_of("{bus}")

# Answers of "not here" or "not yet" that one command follows, and the seconds between two.
_HOPS: Final = 5
_PAUSE: Final = 0.005


class Cluster:
    """All nodes; the URL's are asked what the others are."""

    def __init__(
        self,
        route: Route,
        clock: Clock,
        observer: Observer,
        *,
        timeout: float,
        connections: int,
        on_time: OnTime,
        prefix: str,
    ) -> None:
        self._route = route
        self._prefix = prefix
        self._clock = clock
        self._observer = observer
        self._timeout = timeout
        self._connections = connections
        self._on_time = on_time
        self._members: dict[Place, Member] = {}
        self._skews: dict[Place, float] = {}
        self._holders: Holders = [None] * SLOTS
        self._told: Holders | None = None
        self._masters: tuple[Member, ...] = ()
        self._is_whole = False
        # Whether every key can be asked for: each hit wants to know, so it is known beforehand.
        self.is_up = False
        self.layout = 0
        self.tags: tuple[str, ...] = ()
        self.route = Ear(self)
        for seed in route.seeds:
            self._member(seed)

    @property
    def regions(self) -> tuple[str | None, ...]:
        """Copies of one thing, by the word in their braces."""
        return regions()

    def region(self, name: str) -> str | None:
        """The copy that stands near that name."""
        return region_of(slot_of(name))

    def serves(self, name: str) -> bool:
        """Whether what stands under that name can be asked for."""
        holder = self.holder(slot_of(name))
        return holder is not None and holder.is_up

    def home(self, name: str) -> Place | None:
        """Names of the same home are asked for in one round trip."""
        return self._holders[slot_of(name)]

    def slot(self, name: str) -> int:
        """Names of the same slot are asked for in one command."""
        return slot_of(name)

    def skew(self, name: str) -> float:
        """Seconds by which the clock behind that name is ahead of the shared one."""
        place = self._holders[slot_of(name)]
        return 0.0 if place is None else self._skews.get(place, 0.0)

    async def put(
        self,
        at: str,
        operation: RedisOperation,
        command: Command[T],
        asked_to_wait: float,
        beside: Sequence[RedisOperation] = (),
    ) -> T:
        """What the command brings from whoever has that key; raises RedisUnavailable, at once
        while nobody who has it is there."""
        slot, asked = slot_of(at), command
        member = self.holder(slot)
        if member is None or not member.is_up:
            raise _away(operation, member)
        for _ in range(_HOPS):
            try:
                return await member.ask(operation, asked, asked_to_wait, beside)
            except MovedError as moved:
                member, asked = self._moved(slot, moved, member), command
            except AskError as handed_over:
                member, asked = self._named(handed_over, member), asking(command)
            except TryAgainError:
                await self._clock.sleep(_PAUSE)
            if member.is_away:
                raise _away(operation, member)
        raise OnTheMove(operation)

    @property
    def is_away(self) -> bool:
        """Whether a node is known not to answer."""
        return any(member.is_away for member in self._masters or self._members.values())

    def heard(self, _reply: Sequence[Any], _sent: float) -> None:
        """Looks alone tell the time: of a reply it is not known which node gave it."""

    async def check(self) -> bool:
        """Look at all nodes once, and at those that they are heard of for the first time."""
        await _all_at_once(member.check() for member in tuple(self._members.values()))
        if await self._learn():
            # The shared clock first: the others' are told by it.
            shared = self.holder(_SHARED_SLOT)
            if shared is not None:
                await shared.check()
            await _all_at_once(each.check() for each in self._masters if each is not shared)
        return self.is_up

    async def reach(self) -> None:
        """Ask each node once for an answer; raises RedisUnavailable with all reasons."""
        await self.check()
        asked = self._masters or tuple(self._members.values())
        answers = await asyncio.gather(*(each.reach() for each in asked), return_exceptions=True)
        faults = [each.why for each in answers if isinstance(each, RedisUnavailable)]
        if not faults and not self._is_whole:
            faults = [f"no node holds {self._holders.count(None)} of its {SLOTS} slots"]
        if faults:
            raise RedisUnavailable(RedisOperation.PING, "; ".join(faults))

    async def close(self) -> None:
        """Close all connections; nobody must be asking."""
        await _all_at_once(member.close() for member in self._members.values())

    def holder(self, slot: int) -> Member | None:
        """The node that has a slot, as far as is known."""
        place = self._holders[slot]
        return None if place is None else self._member(place)

    def _member(self, place: Place) -> Member:
        member = self._members.get(place)
        if member is None:
            member = self._members[place] = Member(
                place,
                self._route,
                self._clock,
                self._observer,
                timeout=self._timeout,
                connections=self._connections,
                on_time=partial(self._heard, place),
                prefix=self._prefix,
                on_move=self._count,
            )
        return member

    def _count(self) -> None:
        """A node came or went, or there are others."""
        self.is_up = self._is_whole and all(master.is_up for master in self._masters)

    def _heard(self, place: Place, seconds: float, round_trip: float) -> None:
        if place == self._holders[_SHARED_SLOT]:
            self._skews[place] = 0.0
            self._on_time(seconds, round_trip)
        elif self._masters:
            ahead = seconds + round_trip / 2.0 - self._clock.now()
            known = self._skews.get(place, 0.0)
            self._skews[place] = settled(known, ahead, round_trip)

    def _moved(self, slot: int, moved: MovedError, member: Member) -> Member:
        """Right away, for that slot; the next look brings the rest."""
        holder = self._named(moved, member)
        self._holders[slot], self._told = holder.place, None
        return holder

    def _named(self, redirection: AskError, asked: Member) -> Member:
        """A node without a name of its own is the one that was asked, on another port."""
        host = asked.place[0] if redirection.host in ("", "?") else redirection.host
        return self._member((host, redirection.port))

    async def _learn(self) -> bool:
        """Believe whose epoch is the highest; whether that is news."""
        told = [each for each in self._members.values() if each.is_up and each.holders]
        latest = max(told, key=lambda each: each.epoch, default=None)
        if latest is None or latest.holders == self._told:
            return False
        self._told = latest.holders
        self._holders = list(latest.holders or ())
        self.tags = tags_of(self._holders)
        self._is_whole = None not in self._holders
        self.layout += 1
        masters = dict.fromkeys(place for place in self._holders if place is not None)
        self._masters = tuple(map(self._member, masters))
        self._count()
        await self._forget(masters)
        return True

    async def _forget(self, masters: dict[Place, Any]) -> None:
        """Nodes without a slot are left alone, unless the URL names them."""
        gone = self._members.keys() - masters.keys() - set(self._route.seeds)
        self._skews = {place: self._skews.get(place, 0.0) for place in masters}
        await _all_at_once(self._members.pop(place).close() for place in gone)


class Ear:
    """The way to the node where notices are counted, whichever that is."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def master(self) -> Place | None:
        """Where it is; it changes when another node takes its slot."""
        holder = self._cluster.holder(_SHARED_SLOT)
        return None if holder is None else holder.place

    def connection(self) -> Any:
        """One connection by itself, not yet connected; raises RedisUnavailable."""
        holder = self._cluster.holder(_SHARED_SLOT)
        if holder is None:
            raise _away(RedisOperation.BUS, None)
        return holder.route.connection()


def _away(operation: RedisOperation, member: Member | None) -> RedisUnavailable:
    if member is None:
        return RedisUnavailable(operation, "no node is known to hold its slot")
    host, port = member.place
    return RedisUnavailable(operation, f"{host}:{port} is away")


async def _all_at_once(work: Any) -> None:
    await asyncio.gather(*work)
