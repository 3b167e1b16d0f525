"""A connection that hears messages on channels, and knows when it hears no longer.

Lives here: one connection for one life, without retries: the caller reconnects, and must know
that messages may have been lost. What the messages say is the bus's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, Self

from redis.exceptions import RedisError

from gateway.adapters.redis.connect.transport import why
from gateway.adapters.redis.connect.url import Place
from gateway.ports import Deadline

_NONSENSE = (ValueError, TypeError, LookupError, AttributeError)


class SubscriptionLost(Exception):
    """No messages come from here, or no more; `why` is for an operator."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no longer subscribed: {why}")
        self.why = why


class Way(Protocol):
    """To whoever is the master at that moment (None: nobody has to say)."""

    @property
    def master(self) -> Place | None:
        """It changes when another one is."""
        ...

    def connection(self) -> Any:
        """One connection by itself, not yet connected."""
        ...


class Subscription:
    """Subscribed inside its `async with`.

    `patience` in seconds bounds connecting and subscribing together; after as long a silence
    Redis is asked for a sign of life, and after as long again the connection counts as dead.
    So it does once another master was found, however well the former one may answer.
    """

    def __init__(self, route: Way, channels: Sequence[str], patience: float) -> None:
        self._route = route
        self._master = route.master
        # The driver's bare connection: its PubSub would reconnect without telling.
        self._connection = route.connection()
        self._channels = channels
        self._patience = patience

    async def __aenter__(self) -> Self:
        try:
            with _ours():
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
                    continue  # a sign of life

    async def _subscribe(self) -> None:
        await self._connection.connect()
        await self._connection.send_command("SUBSCRIBE", *self._channels)
        for _ in self._channels:
            reply: Any = await self._connection.read_response()
            if reply[0] != b"subscribe":
                raise SubscriptionLost("nonsense")

    async def _read(self) -> Any:
        with _ours():
            reply: Any = await self._connection.read_response(timeout=self._patience)
            if self._route.master != self._master:
                raise SubscriptionLost("moved")
            if reply is not None:
                return reply
            async with Deadline(self._patience):
                await self._connection.send_command("PING")
                return await self._connection.read_response()

    async def _close(self) -> None:
        with suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)


@contextmanager
def _ours() -> Iterator[None]:
    """The driver's errors become ours; whatever sits there may be no Redis at all."""
    try:
        yield
    except (TimeoutError, OSError, RedisError, *_NONSENSE) as fault:
        raise SubscriptionLost(why(fault)) from fault
