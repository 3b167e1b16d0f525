"""A Redis Cluster: which node holds a key, and what the nodes say about the cluster.

Each key belongs to a slot, and each slot to a node.
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
from gateway.adapters.redis.connect.node_availability import Command, Node, OnTime
from gateway.adapters.redis.connect.transport import Route
from gateway.core.errors import RedisUnavailable
from gateway.core.redis_url import Place
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock, Observer

SLOTS: Final = REDIS_CLUSTER_HASH_SLOTS

# How many slots a region has. A node usually holds long runs of slots, so a region is usually on
# one node.
_REGION: Final = 256

# The holder of each slot; None if no node holds it.
Holders = list[Place | None]


def slot_of(name: str) -> int:
    """The slot of a key. Only its *hash tag* (a text in braces) counts, if there is one."""
    return key_slot(name.encode())


def read_holders(reply: Sequence[Any], asked: Place) -> Holders:
    """The holder of each slot, from a reply to CLUSTER SLOTS. If the reply names no host for a
    node, the node is on the host of `asked`, which sent the reply. Raises ValueError if the reply
    names a slot that does not exist."""
    holders: Holders = [None] * SLOTS
    for first, last, master, *_ in reply:
        if not 0 <= first <= last < SLOTS:
            raise ValueError("CLUSTER SLOTS names a slot that does not exist")
        host = (master[0] or b"").decode()
        place = (asked[0] if host in ("", "?") else host, int(master[1]))
        holders[first : last + 1] = [place] * (last + 1 - first)
    return holders


@cache
def tag_of(first: int, last: int) -> str:
    """The smallest number that, used as a hash tag, belongs to a slot from `first` to `last`."""
    return next(str(n) for n in itertools.count() if first <= slot_of(f"{{{n}}}") <= last)


@cache
def regions() -> tuple[str, ...]:
    """A hash tag for each region, in the order of the slots (see `Connection.regions`). The tags
    stay the same when slots move."""
    return tuple(tag_of(first, first + _REGION - 1) for first in range(0, SLOTS, _REGION))


def region_of(slot: int) -> str:
    """The hash tag of the region of this slot."""
    return regions()[slot // _REGION]


def tags_of(holders: Holders) -> tuple[str, ...]:
    """See `Connection.tags`."""
    firsts = {place: slot for slot, place in reversed(list(enumerate(holders))) if place}
    return tuple(tag_of(slot, _last(holders, slot)) for slot in sorted(firsts.values()))


def tag_held(place: Place, holders: Holders) -> str | None:
    """The tag that `tags_of` has for this node. None if the node holds no slot."""
    if place not in holders:
        return None
    first = holders.index(place)
    return tag_of(first, _last(holders, first))


def _last(holders: Holders, first: int) -> int:
    """The last slot of the run that begins at `first`. One node holds all slots of a run."""
    run = itertools.takewhile(lambda slot: holders[slot] == holders[first], range(first, SLOTS))
    return max(run)


T = TypeVar("T")


class OnTheMove(RedisUnavailable):
    """A command needs a key whose slot is being moved to another node."""

    def __init__(self, operation: str) -> None:
        super().__init__(operation, "the slot of a key is being moved to another node")


class Member(Node):
    """One node of the cluster. It also counts as away while it says that the cluster is down.

    `holders` is the map of slots that it sent last, and `epoch` the epoch of the cluster that it
    sent with the map. The map with the highest epoch is the latest.
    """

    questions: ClassVar = ("CLUSTER INFO", "CLUSTER SLOTS")
    redirections: ClassVar = (AskError, TryAgainError)  # MovedError of the driver is an AskError

    def __init__(self, place: Place, route: Route, *clocks: Any, **options: Any) -> None:
        """`place` is the address of this node, as the other nodes or the URL name it."""
        super().__init__(route.to(place), *clocks, name=f"{place[0]}:{place[1]}", **options)
        self.place = place
        self.holders: Holders | None = None
        self.epoch = -1
        self.tag: str | None = None
        self._said: Any = None

    def judge(self, answers: Sequence[Any]) -> None:
        """Take the node's map. Raises ClusterDownError if the node says that the cluster is down.
        Such a node was perhaps cut off, so its map is perhaps old."""
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
    """Sends ASKING before each command, on the same connection. Otherwise the node to which a slot
    is being moved would redirect commands for this slot."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        send: Any = super().execute_command
        await send("ASKING")
        return await send(*args, **options)


def asking(command: Command[T]) -> Command[T]:
    """The same command, for the node that an ASK redirection names."""

    async def asked(client: driver.Redis) -> T:
        pool = client.connection_pool
        async with _Asking(connection_pool=pool, single_connection_client=True) as one:
            return await command(one)

    return asked


# The slot of the records about all replicas. The clock of its node is the shared clock.
_SHARED_SLOT: Final = slot_of("{bus}")

# A command is sent this many times at most. It is sent again after a redirection, and after
# TRYAGAIN (only some of its keys have been moved).
_HOPS: Final = 5
_PAUSE: Final = 0.005  # seconds to wait after TRYAGAIN


class Cluster:
    """All nodes of a cluster. At first only the nodes in the URL are known. These name the other
    nodes."""

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
        # Each hit reads `is_up`, so it is computed only when a node or the map changes.
        self.is_up = False
        self.layout = 0
        self.tags: tuple[str, ...] = ()
        self.route = SharedNodeRoute(self)
        for seed in route.seeds:
            self._member(seed)

    @property
    def regions(self) -> tuple[str | None, ...]:
        """As Connection.regions."""
        return regions()

    def region(self, name: str) -> str | None:
        """As Connection.region."""
        return region_of(slot_of(name))

    def serves(self, name: str) -> bool:
        """As Connection.serves."""
        holder = self.holder(slot_of(name))
        return holder is not None and holder.is_up

    def home(self, name: str) -> Place | None:
        """As Connection.home."""
        return self._holders[slot_of(name)]

    def slot(self, name: str) -> int:
        """The slot of this key."""
        return slot_of(name)

    def skew(self, name: str) -> float:
        """As Connection.skew."""
        place = self._holders[slot_of(name)]
        return 0.0 if place is None else self._skews.get(place, 0.0)

    async def put(
        self,
        at: str,
        operation: RedisOperation,
        command: Command[T],
        beside: Sequence[RedisOperation] = (),
    ) -> T:
        """Run the command on the node that holds the key `at`. Raises RedisUnavailable if the
        command fails. If that node is away or not known, raises it without a try."""
        slot, asked = slot_of(at), command
        member = self.holder(slot)
        if member is None or not member.is_up:
            raise _away(operation, member)
        for _ in range(_HOPS):
            try:
                return await member.ask(operation, asked, beside)
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
        """Whether at least one node is known to be away."""
        return any(member.is_away for member in self._masters or self._members.values())

    def heard(self, _reply: Sequence[Any], _sent: float) -> None:
        """Ignore the time, because it is unknown which node sent this reply. Only the time in
        the reply to a look (see node_availability) counts."""

    async def check(self) -> bool:
        """As Connection.check. Looks at all known nodes. If the map has changed, then looks at the
        nodes in the map."""
        await _all_at_once(member.check() for member in tuple(self._members.values()))
        if await self._learn():
            # The node of the shared clock comes first: the clocks of the other nodes are compared
            # with the shared clock.
            shared = self.holder(_SHARED_SLOT)
            if shared is not None:
                await shared.check()
            await _all_at_once(each.check() for each in self._masters if each is not shared)
        return self.is_up

    async def reach(self) -> None:
        """As Connection.reach. Also raises if slots have no node."""
        await self.check()
        asked = self._masters or tuple(self._members.values())
        answers = await asyncio.gather(*(each.reach() for each in asked), return_exceptions=True)
        faults = [each.why for each in answers if isinstance(each, RedisUnavailable)]
        if not faults and not self._is_whole:
            faults = [
                f"the cluster has no node for {self._holders.count(None)} of its {SLOTS} slots"
            ]
        if faults:
            raise RedisUnavailable(RedisOperation.PING, "; ".join(faults))

    async def close(self) -> None:
        """Close all connections. No command may be under way."""
        await _all_at_once(member.close() for member in self._members.values())

    def holder(self, slot: int) -> Member | None:
        """The node that holds a slot. None if no such node is known."""
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
                on_move=self._update_is_up,
            )
        return member

    def _update_is_up(self) -> None:
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
        """Note the new holder at once. The next look brings the whole map."""
        holder = self._named(moved, member)
        self._holders[slot], self._told = holder.place, None
        return holder

    def _named(self, redirection: AskError, asked: Member) -> Member:
        """The node that a redirection names. If it names no host, the host is that of `asked`."""
        host = asked.place[0] if redirection.host in ("", "?") else redirection.host
        return self._member((host, redirection.port))

    async def _learn(self) -> bool:
        """Take the map of the node with the highest epoch. Returns whether the map has changed."""
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
        self._update_is_up()
        await self._forget(masters)
        return True

    async def _forget(self, masters: dict[Place, Any]) -> None:
        """Forget the nodes that hold no slot, but keep those that the URL names."""
        gone = self._members.keys() - masters.keys() - set(self._route.seeds)
        self._skews = {place: self._skews.get(place, 0.0) for place in masters}
        await _all_at_once(self._members.pop(place).close() for place in gone)


class SharedNodeRoute:
    """The way to the node of the shared slot, where notices are published."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def master(self) -> Place | None:
        """As Way.master. It changes when the slot moves."""
        holder = self._cluster.holder(_SHARED_SLOT)
        return None if holder is None else holder.place

    def connection(self) -> Any:
        """As Way.connection. Raises RedisUnavailable."""
        holder = self._cluster.holder(_SHARED_SLOT)
        if holder is None:
            raise _away(RedisOperation.BUS, None)
        return holder.route.connection()


def _away(operation: RedisOperation, member: Member | None) -> RedisUnavailable:
    if member is None:
        return RedisUnavailable(operation, "it is not known which node has the slot of the key")
    host, port = member.place
    return RedisUnavailable(operation, f"{host}:{port} is away")


async def _all_at_once(work: Any) -> None:
    await asyncio.gather(*work)
