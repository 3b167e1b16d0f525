"""A cluster: whom to ask for a key, and what its nodes say of each other.

Lives here: the map of slots, whom to believe about it, and following redirections. Each node has
a breaker of its own, so that one that is away takes its share of the keys and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, TypeVar

from redis.exceptions import AskError, MovedError, TryAgainError

from gateway.adapters.redis.connect.clock_offsets import settled
from gateway.adapters.redis.connect.cluster_node import Member, OnTheMove, asking
from gateway.adapters.redis.connect.node import Command, OnTime
from gateway.adapters.redis.connect.slots import (
    SLOTS,
    Holders,
    region_of,
    regions,
    slot_of,
    tags_of,
)
from gateway.adapters.redis.connect.transport import Route
from gateway.adapters.redis.connect.url import Place
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock, Observer

T = TypeVar("T")

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
