"""Asks the sentinels which host is the master.

All sentinels are asked at once, and this module decides which answer counts. No request waits for
this. transport.py makes the connections to the sentinels.
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
    """The sentinels of one master. The driver's connections take this object for their pool, and
    ask it for the master's address.

    Each sentinel has `patience` seconds to answer.
    """

    is_master = True
    check_connection = False

    def __init__(self, clients: dict[str, Any], name: str, patience: float) -> None:
        """`clients`: the client of each sentinel, by its address in words."""
        self._driver: Any = Sentinel([])  # type: ignore[no-untyped-call]
        self._driver.sentinels = list(clients.values())
        self._where = list(clients)
        self._name = name
        self._patience = patience
        self.master: tuple[str, int] | None = None

    async def find(self) -> bool:
        """Ask all sentinels for the master. Returns whether it is another one than before.

        If no sentinel names a master, the known master stays, because it may still be there. If
        none is known either, raises the driver's ConnectionError with the answer of each sentinel.
        """
        answers = await asyncio.gather(*map(self._ask, self._driver.sentinels))
        named = [answer for answer in answers if not isinstance(answer, str)]
        if not named:
            if self.master is None:
                said = ", ".join(map(" ".join, zip(self._where, map(str, answers), strict=True)))
                raise ConnectionFault(f"no sentinel names a master {self._name!r}: {said}")
            return False
        # A sentinel that was cut off still names the former master. Each failover raises the
        # epoch, so the highest epoch is the latest answer.
        before, (_, self.master) = self.master, max(named, key=lambda answer: answer[0])
        return before != self.master

    async def get_master_address(self) -> tuple[str, int]:
        """The master that was found last. The driver's connections call this when they connect; no
        sentinel is asked."""
        if self.master is None:
            raise ConnectionFault("no sentinel has named a master yet")
        return self.master

    async def close(self) -> None:
        """Close the connections to the sentinels."""
        await self._driver.aclose()

    async def _ask(self, sentinel: Any) -> tuple[int, tuple[str, int]] | str:
        """The epoch of the last failover, and the address of the master. If the sentinel does not
        say, the reason in words."""
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
