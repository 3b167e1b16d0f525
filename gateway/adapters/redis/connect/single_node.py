"""A Redis by itself, or the master of several: one node has all keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeVar

from redis.exceptions import ReadOnlyError, RedisError

from gateway.adapters.redis.connect.node import Command, Node
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation

T = TypeVar("T")

_TAG: Final = "bus"


class Single(Node):
    """The one node; where sentinels say which it is, each look asks them."""

    questions: ClassVar = ("ROLE",)

    # One word a node: a key with it in braces stands there.
    tags: Final = (_TAG,)

    tag = _TAG

    layout: Final = 0

    # Copies of one thing, by the word in their braces; None: it needs no copies.
    regions: Final[tuple[str | None, ...]] = (None,)

    def region(self, _name: str) -> str | None:
        """The copy that stands near that name."""
        return None

    def serves(self, _name: str) -> bool:
        """Whether what stands under that name can be asked for."""
        return self.is_up

    def home(self, _name: str) -> str:
        """Names of the same home are asked for in one round trip."""
        return _TAG

    def slot(self, _name: str) -> int:
        """Names of the same slot are asked for in one command."""
        return 0

    def skew(self, _name: str) -> float:
        """Seconds by which the clock behind that name is ahead of the shared one: it is it."""
        return 0.0

    async def put(
        self,
        _at: str,
        operation: RedisOperation,
        command: Command[T],
        asked_to_wait: float,
        beside: Sequence[RedisOperation] = (),
    ) -> T:
        """What the command brings; raises RedisUnavailable, at once while Redis is away."""
        if not self.is_up:
            raise RedisUnavailable(operation, "it is away")
        return await self.ask(operation, command, asked_to_wait, beside)

    async def reach(self) -> None:
        """Ask once for an answer; raises RedisUnavailable with the reason."""
        await self._find_master()
        await super().reach()

    def judge(self, answers: Sequence[Any]) -> None:
        """A server that answers as a replica counts as away: what it holds may be outdated."""
        (role,) = answers
        # Who may not ask for the role gets an error in its place, and finds out by writing.
        if not isinstance(role, Exception) and role[0] != b"master":
            raise ReadOnlyError

    async def _find_master(self) -> None:
        """Where sentinels have to be asked, their patience is beside that of the operation."""
        try:
            moved = await self.route.find()
        except (OSError, RedisError) as fault:
            raise self._failed(RedisOperation.PING, fault) from fault
        if moved:
            for client in (self._client, self._looking):
                pool: Any = client.connection_pool
                await pool.update_active_connections_for_reconnect()
            await self._drop_idle()
