"""Bus on Redis: one channel for the notices to all replicas, and one channel for each replica.

The channel of a replica carries the answers to its notices, and the endings of the fetches that it
follows (lease.py). Redis keeps no notices for a replica that is not connected. A *gap* is a time in
which a replica has perhaps missed notices.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

import redis.asyncio as driver

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.subscription import Subscription, SubscriptionLost
from gateway.adapters.redis.keys import Names, ear
from gateway.adapters.redis.lease import Endings, decode_ended, is_ended
from gateway.adapters.redis.membership import Membership, Others, Sent
from gateway.adapters.redis.messages import (
    Acknowledgement,
    Holes,
    NoticeRefused,
    decode_acknowledgement,
    decode_notice,
    encode_acknowledgement,
    encode_notice,
    is_replica,
)
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock, Confirmations, Deadline, Notice, Observer


class Request:
    """One notice whose sender waits for answers. Each answer repeats the `number` of the
    request."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._answered: set[str] = set()
        self._came = asyncio.Event()

    def take(self, sender: str) -> None:
        """Remember that a replica has answered."""
        self._answered.add(sender)
        self._came.set()

    async def answered_by(self, replicas: frozenset[str], patience: float) -> frozenset[str]:
        """Wait for these replicas, for `patience` seconds at most. Returns all that have
        answered."""
        with suppress(TimeoutError):
            async with Deadline(patience):
                while not replicas <= self._answered:
                    self._came.clear()
                    await self._came.wait()
        return frozenset(self._answered)


class Requests:
    """The requests that wait for answers."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._open: dict[int, Request] = {}

    @contextmanager
    def open(self) -> Iterator[Request]:
        """A request that takes answers until the end of the `with`."""
        request = Request(next(self._numbers))
        self._open[request.number] = request
        try:
            yield request
        finally:
            del self._open[request.number]

    def take(self, answer: Acknowledgement) -> None:
        """Give the answer to its request, if the request is still open."""
        request = self._open.get(answer.request)
        if request is not None:
            request.take(answer.sender)


@dataclass(frozen=True, slots=True)
class Missing:
    """The replicas that did not confirm an order.

    members  their names. Empty: one of the names is not known, so the order is sent again to all
    until    up to this monotonic time, one of them can serve entries older than the order
    sent     the number and the life of the last notice with this order
    """

    members: frozenset[str]
    until: float
    sent: Sent


class Unconfirmed:
    """The orders that another replica did not confirm. They are sent again if Redis loses its count
    of notices.

    This prevents the following. A replica is cut off, and misses an order. Redis loses all data,
    and counts from 0 again. The replica comes back and reads 0: no notice since the loss. The count
    does not show that an order from before the loss is missing.
    """

    def __init__(self) -> None:
        self._orders: dict[Notice, Missing] = {}
        self._ids = 0

    def keep(self, order: Notice, missing: Missing) -> None:
        """Remember the order until `missing.until`."""
        self._forget(order)
        self._orders[order] = missing
        self._ids += len(order.training_ids) + 1
        while self._ids > _MOST_UNCONFIRMED:
            self._forget(next(iter(self._orders)))

    def lost(self, life: int, number: int, now: float) -> list[tuple[Notice, Missing]]:
        """Forget the orders whose `Missing.until` has passed. Returns the orders that Redis has
        lost (see `Sent.is_lost`)."""
        for order in [each for each, missing in self._orders.items() if missing.until <= now]:
            self._forget(order)
        return [each for each in self._orders.items() if each[1].sent.is_lost(life, number)]

    def sent(self, order: Notice, sent: Sent) -> None:
        """Remember that the order was sent again."""
        if order in self._orders:
            self._orders[order] = replace(self._orders[order], sent=sent)

    def _forget(self, order: Notice) -> None:
        if self._orders.pop(order, None) is not None:
            self._ids -= len(order.training_ids) + 1


Apply = Callable[[Notice], None]
Gap = Callable[[float], None]

# Seconds until the next attempt to reach Redis: the first pause, and the longest.
_SHORT_PAUSE: Final = 0.2
_LONG_PAUSE: Final = 1.0
# Redis can lose the members again and again. An order waits for lost members at most this many
# times.
_TRIES: Final = 2
# `Unconfirmed` remembers at most this many orders and training ids together.
_MOST_UNCONFIRMED: Final = 100_000
# At most this many orders are sent again between two heartbeats.
_MOST_AT_ONCE: Final = 50


class RedisBus:
    """Sends the notices of one replica, and receives the notices of the others. Answers arrive only
    while `listen` runs.

    replica        the name of this replica. Two processes with one name ignore each other's notices
    heartbeat      seconds between two heartbeats; also the `patience` of the Subscription
    alone, settle  see Membership
    endings        receives the endings of other replicas' fetches
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        clock: Clock,
        observer: Observer,
        *,
        replica: str,
        heartbeat: float = 1.0,
        alone: float = 330.0,
        settle: float = 2.0,
        endings: Endings | None = None,
    ) -> None:
        """Raises ValueError if `replica` cannot be a name."""
        if not is_replica(replica):
            raise ValueError(f"a replica cannot have the name {replica!r}")
        self._connection = connection
        self._clock = clock
        self._observer = observer
        self._replica = replica
        self._heartbeat = heartbeat
        self._prefix = Names(prefix).prefix
        self._channel = f"{prefix}:bus"
        self._membership = Membership(
            connection, prefix, clock, replica, heartbeat, alone=alone, settle=settle
        )
        self._requests = Requests()
        self._unconfirmed = Unconfirmed()
        self._endings = Endings() if endings is None else endings
        self._holes = Holes()
        self._is_connected = False
        # Whether `_note_heard_all` was called, and the `life` and `vouched_until` of the membership
        # at its last call.
        self._has_noted, self._life, self._limit = False, 0, -math.inf

    @property
    def replicas(self) -> int:
        return self._membership.alive

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    @property
    def counted_until(self) -> float:
        return self._membership.counted_until

    @property
    def vouched_until(self) -> float:
        return self._membership.vouched_until

    async def announce(self, notice: Notice) -> None:
        await self._tell(notice, None)

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """As Bus.confirm. If Redis has just lost the members, this waits for them before it counts
        answers (see `_settled`)."""
        # The request is opened first, because an answer can arrive earlier than Redis' reply.
        with self._requests.open() as request:
            others = await self._tell(notice, request.number)
            others = await self._settled(others, notice, request.number)
            told_at, monotonic = self._clock.now(), self._clock.monotonic()
            answered = await request.answered_by(others.alive, patience)
        missing = others.seconds.keys() - answered
        seconds = max((others.seconds[name] for name in missing), default=None)
        known = 1 + len(others.seconds)
        confirmed = known - len(missing)
        if seconds is None:
            return Confirmations(known, confirmed, until=None)
        names = frozenset() if "" in missing else frozenset(missing)  # "": the name is unknown
        self._unconfirmed.keep(notice, Missing(names, monotonic + seconds, others.sent))
        return Confirmations(known, confirmed, until=told_at + seconds)

    async def enter(self) -> None:
        with suppress(RedisUnavailable):
            await self._membership.beat()
            self._note_heard_all()

    async def listen(self, apply: Apply, gap: Gap) -> None:
        """As Bus.listen. `_missed` explains the argument of `gap`."""
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._send_heartbeats(gap))
                both.create_task(self._hear(apply, gap))
        finally:
            self._is_connected = False
            with suppress(RedisUnavailable):
                await self._membership.leave()

    async def _settled(self, others: Others, notice: Notice, request: int) -> Others:
        """The other replicas. If Redis has just lost the list of replicas, wait until each replica
        has had the time to add itself again, and send the notice again. If some are perhaps missing
        even then, add one replica without a name."""
        for _ in range(_TRIES):
            if others.unsettled <= 0.0:
                return others
            await self._clock.sleep(others.unsettled)
            others = await self._tell(notice, request)
        if others.unsettled > 0.0:
            return others.and_somebody(self._membership.span)
        return others

    async def _tell(self, notice: Notice, request: int | None) -> Others:
        message = encode_notice(notice, self._replica, request)
        return await self._membership.tell(self._channel, message)

    async def _send_heartbeats(self, gap: Gap) -> None:
        """Send heartbeats even while the subscription is lost. Otherwise orders would not wait for
        this replica."""
        while True:
            pause = _SHORT_PAUSE
            with suppress(RedisUnavailable):
                heard_before = self._holes.heard
                number, was_off = await self._membership.beat()
                # Without a subscription, `_holes` must not change: `_follow` compares it with
                # Redis' count.
                missed = self._is_connected and self._holes.catch_up(number, heard_before)
                if was_off or missed:
                    self._missed(gap, number, heard_before)
                if self._is_connected and number == self._holes.heard:
                    self._note_heard_all()
                if await self._send_again(number):
                    pause = self._heartbeat
            await self._clock.sleep(pause)

    async def _send_again(self, number: int) -> bool:
        """Send again the unconfirmed orders that Redis has lost, at most `_MOST_AT_ONCE`. Returns
        whether none is left."""
        now = self._clock.monotonic()
        lost = self._unconfirmed.lost(self._membership.life, number, now)
        for order, missing in lost[:_MOST_AT_ONCE]:
            message = encode_notice(order, self._replica, None, missing.members)
            told = await self._membership.tell(self._channel, message)
            self._unconfirmed.sent(order, told.sent)
        return len(lost) <= _MOST_AT_ONCE

    async def _hear(self, apply: Apply, gap: Gap) -> None:
        pause = _SHORT_PAUSE
        while True:
            try:
                await self._follow(apply, gap)
            except SubscriptionLost as lost:
                self._observer.redis_failed(RedisOperation.BUS, lost.why)
            except RedisUnavailable:
                pass  # the connection has reported the error
            if self._is_connected:
                self._is_connected, pause = False, _SHORT_PAUSE
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LONG_PAUSE)

    async def _follow(self, apply: Apply, gap: Gap) -> None:
        """Receive messages. Raises SubscriptionLost or RedisUnavailable."""
        channels = (self._channel, ear(self._prefix, self._replica))
        async with Subscription(
            self._connection.servers, channels, self._heartbeat
        ) as subscription:
            # The sequence matters: subscribe, ask for the last number, report the gap up to this
            # number. Each later notice arrives, or its number is found missing.
            heard_before = self._holes.heard
            number, _ = await self._membership.beat()
            self._holes.start(number)
            self._is_connected = True
            self._missed(gap, number, heard_before)
            self._note_heard_all()
            while True:
                channel, data = await subscription.message()
                await self._receive(channel, data, apply, gap)
                # Let other tasks run, even while many messages are in the buffer.
                await asyncio.sleep(0)

    async def _receive(self, channel: str, data: bytes, apply: Apply, gap: Gap) -> None:
        try:
            if channel == self._channel:
                await self._receive_notice(data, apply, gap)
            elif is_ended(data):
                self._endings.take(*decode_ended(data))
            else:
                self._requests.take(decode_acknowledgement(data))
        except NoticeRefused as refused:
            self._observer.bus_failed(refused.why)

    async def _receive_notice(self, data: bytes, apply: Apply, gap: Gap) -> None:
        """A notice that cannot be read or applied counts as missed."""
        told = decode_notice(data)
        if self._holes.is_after_hole(told.number):
            self._missed(gap, told.number, self._holes.heard)
        is_for_us = told.sender != self._replica and told.is_for(self._replica)
        if is_for_us and not self._call_safely(lambda: apply(told.notice)):
            return
        self._holes.hear(told.number)
        if is_for_us and told.request is not None:
            await self._answer(told.sender, told.request)

    async def _answer(self, sender: str, request: int) -> None:
        message = encode_acknowledgement(Acknowledgement(self._replica, request))

        async def command(client: driver.Redis) -> None:
            await client.publish(ear(self._prefix, sender), message)

        with suppress(RedisUnavailable):
            await self._connection.execute(RedisOperation.BUS, command)

    def _note_heard_all(self) -> None:
        """Remember `life` and `vouched_until` of the membership. Call this when each notice before
        the last heartbeat was heard, or is in a gap that was reported. A replica that starts has no
        entries, so it needs no notices from before its start."""
        membership = self._membership
        self._has_noted, self._life, self._limit = True, membership.life, membership.vouched_until

    def _missed(self, gap: Gap, number: int, heard: int) -> None:
        """Call `gap` with a monotonic time. Entries from before the gap may be used until then.
        `number` is the number of the last notice. Each notice up to the number `heard` was heard,
        or was found missing.

        - No notice is missing (`life` is the same as at the last `_note_heard_all`, and the two
          numbers are equal): the time is infinite.
        - Redis has lost the members (`life` is new), no notice was sent since the loss (`number` is
          0), and `_limit` has not passed: the time is infinite. If an order from before the loss is
          missing, its sender sends it again before `_limit` (see `Unconfirmed`).
        - In all other cases, the time is `_limit`. The result of a missed order says until when old
          answers are possible (`Confirmations.until`), and `_limit` is not later than that.
        - Before the first `_note_heard_all`, `_limit` is -inf, and the entries may not be used.
        """
        until = self._limit
        if self._membership.life == self._life:
            is_complete = number == heard
        else:
            is_complete = number == 0 and self._clock.monotonic() < until
        told = math.inf if self._has_noted and is_complete else until
        self._call_safely(lambda: gap(told))

    def _call_safely(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Exception as fault:  # noqa: BLE001 - an error in `act` must not end the listener
            self._observer.bus_failed(type(fault).__name__)
            return False
        return True
