"""A node of a cluster: what it says of the cluster, and how a key is asked for in mid-move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import redis.asyncio as driver
from redis.exceptions import AskError, ClusterDownError, TryAgainError

from gateway.adapters.redis.connect.node import Command, Node
from gateway.adapters.redis.connect.slots import Holders, read_holders, tag_held
from gateway.adapters.redis.connect.transport import Route
from gateway.adapters.redis.connect.url import Place
from gateway.core.errors import RedisUnavailable

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
