"""Bus on Redis: one channel for the notices to all replicas, and one channel for each replica.

The channel of a replica carries the answers to its notices, and the endings of the fetches that it
follows (lease.py). Redis keeps no notices for a replica that is not connected. A *gap* is a time in
which a replica has perhaps missed notices.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import redis.asyncio as driver

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.subscription import Subscription, SubscriptionLost
from gateway.adapters.redis.keys import Names, ear, notices
from gateway.adapters.redis.lease import Endings, decode_ended, is_ended
from gateway.adapters.redis.membership import Membership
from gateway.adapters.redis.messages import (
    Acknowledgement,
    Chain,
    NoticeRefused,
    decode_acknowledgement,
    decode_notice,
    encode_acknowledgement,
    encode_notice,
    is_replica,
)
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from gateway.ports import Clock, Confirmations, ConnectionObserver, Deadline, Notice

Apply = Callable[[Notice], None]
Gap = Callable[[], None]

# Seconds until the next attempt to reach Redis: the first pause, and the longest.
_SHORT_PAUSE: Final = 0.2
_LONG_PAUSE: Final = 1.0


class RedisBus:
    """Sends the notices of one replica, and receives the notices of the others. Answers arrive only
    while `listen` runs.

    replica    the name of this replica. Two processes with one name ignore each other's notices
    heartbeat  seconds between two heartbeats; also the `patience` of the Subscription
    alone      see Membership
    new_word   makes a word: 16 hex digits that never come again
    endings    receives the endings of other replicas' fetches
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        clock: Clock,
        observer: ConnectionObserver,
        *,
        replica: str,
        new_word: Callable[[], str],
        heartbeat: float = 1.0,
        alone: float = 330.0,
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
        self._channel = notices(prefix)
        self._membership = Membership(
            *(connection, prefix, clock, replica),
            heartbeat=heartbeat,
            alone=alone,
            new_word=new_word,
        )
        self._requests = itertools.count()
        # By request: the replicas that have answered.
        self._answered: dict[int, set[str]] = {}
        self._any_answer = asyncio.Condition()
        self._endings = Endings() if endings is None else endings
        self._chain = Chain()
        self.is_connected = False

    @property
    def replicas(self) -> int:
        return self._membership.alive

    @property
    def alive_until(self) -> float:
        return self._membership.alive_until

    @property
    def listed_until(self) -> float:
        return self._membership.listed_until

    async def announce(self, notice: Notice) -> None:
        await self._membership.tell(
            self._channel, encode_notice(notice, self._replica, request=None)
        )

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        request = next(self._requests)
        message = encode_notice(notice, self._replica, request)
        # An answer can arrive earlier than Redis' reply.
        answered = self._answered[request] = set()
        try:
            others = await self._membership.tell(self._channel, message)
            told_at = self._clock.now()
            with suppress(TimeoutError):
                async with Deadline(patience), self._any_answer:
                    await self._any_answer.wait_for(lambda: others.alive <= answered)
        finally:
            del self._answered[request]
        missing = others.seconds.keys() - answered
        seconds = max((others.unsettled, *(others.seconds[name] for name in missing)))
        known = 1 + len(others.seconds)
        until = told_at + seconds if seconds > 0.0 else None
        return Confirmations(known, known - len(missing), until)

    async def enter(self) -> None:
        with suppress(RedisUnavailable):
            await self._membership.beat()

    async def listen(self, apply: Apply, gap: Gap) -> None:
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._send_heartbeats(gap))
                both.create_task(self._hear(apply, gap))
        finally:
            self.is_connected = False
            with suppress(RedisUnavailable):
                await self._membership.leave()

    async def _send_heartbeats(self, gap: Gap) -> None:
        """Send heartbeats while the subscription lasts: a heartbeat that lists a replica must not
        come before the gap of its subscription. Orders did not wait for a replica that was not
        alive, so its next heartbeat is a gap too."""
        while True:
            pause = _SHORT_PAUSE
            with suppress(RedisUnavailable):
                if self.is_connected:
                    await self._beat(gap)
                    pause = self._heartbeat
            await self._clock.sleep(pause)

    async def _beat(self, gap: Gap) -> None:
        before = self.alive_until
        self._chain.ask()
        is_broken = self._chain.is_broken(await self._membership.beat())
        if is_broken or before <= self._clock.monotonic():
            self._call_safely(gap)

    async def _hear(self, apply: Apply, gap: Gap) -> None:
        pause = _SHORT_PAUSE
        while True:
            try:
                await self._follow(apply, gap)
            except SubscriptionLost as lost:
                self._observer.redis_failed(RedisOperation.BUS, lost.why)
            except RedisUnavailable:
                pass  # the connection has reported the error
            if self.is_connected:
                self.is_connected, pause = False, _SHORT_PAUSE
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LONG_PAUSE)

    async def _follow(self, apply: Apply, gap: Gap) -> None:
        """Receive messages. Raises SubscriptionLost or RedisUnavailable."""
        channels = (self._channel, ear(self._prefix, self._replica))
        async with Subscription(
            self._connection.servers, channels, self._heartbeat
        ) as subscription:
            # The sequence matters: subscribe, ask for the last notice, report the gap up to it.
            # Each later notice arrives, or is found missing.
            self._chain.start(await self._membership.beat())
            self.is_connected = True
            self._call_safely(gap)
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
                answer = decode_acknowledgement(data)
                self._answered.get(answer.request, set()).add(answer.sender)
                async with self._any_answer:
                    self._any_answer.notify_all()
        except NoticeRefused as refused:
            self._observer.bus_failed(refused.why)

    async def _receive_notice(self, data: bytes, apply: Apply, gap: Gap) -> None:
        """A notice that cannot be read or applied counts as missed."""
        told = decode_notice(data)
        is_for_us = told.sender != self._replica
        is_applied = not is_for_us or self._call_safely(lambda: apply(told.notice))
        if not (self._chain.hear(told.before, told.word) and is_applied):
            self._call_safely(gap)
        if is_for_us and is_applied and told.request is not None:
            await self._answer(told.sender, told.request)

    async def _answer(self, sender: str, request: int) -> None:
        message = encode_acknowledgement(Acknowledgement(self._replica, request))

        async def command(client: driver.Redis) -> None:
            await client.publish(ear(self._prefix, sender), message)

        with suppress(RedisUnavailable):
            await self._connection.execute(RedisOperation.BUS, command)

    def _call_safely(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Exception as fault:  # noqa: BLE001 - an error in `act` must not end the listener
            self._observer.bus_failed(type(fault).__name__)
            return False
        return True
