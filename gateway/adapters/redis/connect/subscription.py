"""A connection that receives messages on channels, and raises SubscriptionLost when it is lost.

It never connects again by itself, because the caller must know that messages were perhaps missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

from redis.exceptions import RedisError

from gateway.adapters.redis.connect.transport import NONSENSE, Servers, why
from gateway.ports import Deadline


class SubscriptionLost(Exception):
    """No more messages will come. `why` tells an operator the reason."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no longer subscribed: {why}")
        self.why = why


class Subscription:
    """A subscription, which lasts as long as its `async with`.

    Connecting and subscribing take at most `patience` seconds together. After a silence of
    `patience` seconds a PING is sent, which must be answered within the same time. The connection
    also counts as lost if `servers` names another master, even if the former one still answers.
    """

    def __init__(self, servers: Servers, channels: Sequence[str], patience: float) -> None:
        self._servers = servers
        self._master = servers.master
        # The driver's PubSub would reconnect without telling the caller.
        self._connection = servers.connection()
        self._channels = channels
        self._patience = patience

    async def __aenter__(self) -> Self:
        try:
            with _as_subscription_lost():
                async with Deadline(self._patience):
                    await self._subscribe()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def message(self) -> tuple[str, bytes]:
        """The next message with its channel; raises SubscriptionLost."""
        while True:
            match await self._read():
                case [b"message", bytes() as channel, bytes() as data]:
                    return channel.decode("utf-8", "replace"), data
                case _:
                    continue  # the answer to a PING

    async def _subscribe(self) -> None:
        await self._connection.connect()
        await self._connection.send_command("SUBSCRIBE", *self._channels)
        for _ in self._channels:
            reply: Any = await self._connection.read_response()
            if not isinstance(reply, list) or reply[:1] != [b"subscribe"]:
                raise SubscriptionLost("the reply to SUBSCRIBE confirms no subscription")

    async def _read(self) -> Any:
        with _as_subscription_lost():
            reply: Any = await self._connection.read_response(timeout=self._patience)
            if self._servers.master != self._master:
                raise SubscriptionLost("the master has changed")
            if reply is not None:
                return reply
            async with Deadline(self._patience):
                await self._connection.send_command("PING")
                return await self._connection.read_response()

    async def _close(self) -> None:
        with suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)


@contextmanager
def _as_subscription_lost() -> Iterator[None]:
    """Turns timeouts and the driver's errors into SubscriptionLost. The errors in `NONSENSE` come
    from servers that are not Redis."""
    try:
        yield
    except (TimeoutError, OSError, RedisError, *NONSENSE) as fault:
        raise SubscriptionLost(why(fault)) from fault
