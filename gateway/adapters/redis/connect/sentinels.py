"""Which host is the master, as the sentinels see it.

Lives here: asking all of them at once, and whom to believe. They are asked off the path of
requests; how they are reached is the business of transport.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError as ConnectionFault
from redis.exceptions import RedisError

from gateway.ports import Deadline

_NONSENSE = (ValueError, TypeError, LookupError, AttributeError)


class Sentinels:
    """The sentinels of one master; to the driver's connections the pool that knows its address.

    `patience` in seconds is for each of them; one that does not answer costs no more than that.
    """

    is_master = True
    check_connection = False

    def __init__(self, clients: dict[str, Any], name: str, patience: float) -> None:
        """`clients` by where each is, in words."""
        self._driver: Any = Sentinel([])  # type: ignore[no-untyped-call]
        self._driver.sentinels = list(clients.values())
        self._where = list(clients)
        self._name = name
        self._patience = patience
        self.master: tuple[str, int] | None = None

    async def find(self) -> bool:
        """Whether the master is another one than before.

        A known one stays while no sentinel names any: it may well be there. Raises the driver's
        ConnectionError, saying what each of them said, while none is known.
        """
        answers = await asyncio.gather(*map(self._ask, self._driver.sentinels))
        named = [answer for answer in answers if not isinstance(answer, str)]
        if not named:
            if self.master is None:
                said = ", ".join(map(" ".join, zip(self._where, map(str, answers), strict=True)))
                raise ConnectionFault(f"no sentinel names a master {self._name!r}: {said}")
            return False
        # One that was cut off still names the former master; each failover counts up.
        before, (_, self.master) = self.master, max(named, key=lambda answer: answer[0])
        return before != self.master

    async def get_master_address(self) -> tuple[str, int]:
        """What the driver's connections ask when they connect; nobody is asked for it."""
        if self.master is None:
            raise ConnectionFault("no sentinel has named a master yet")
        return self.master

    async def close(self) -> None:
        """Close the connections to them."""
        await self._driver.aclose()

    async def _ask(self, sentinel: Any) -> tuple[int, tuple[str, int]] | str:
        """How often there was a failover, and to whom; in words why that is not known."""
        try:
            async with Deadline(self._patience):
                masters = await sentinel.sentinel_masters()
            state = masters.get(self._name)
            if state is None:
                return "knows no such master"
            if not self._driver.check_master_state(state, self._name):
                return "says that it is down"
            return int(state["config-epoch"]), (str(state["ip"]), int(state["port"]))
        except (TimeoutError, OSError, RedisError, *_NONSENSE) as fault:
            return type(fault).__name__
