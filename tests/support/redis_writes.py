"""How often a driver's connection wrote to each Redis: the round trips."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection

# Writes by the port of the server.
Written = Counter[int]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """What has been written since the test began; connecting writes nothing."""
    counted: Written = Counter()
    send = AbstractConnection.send_packed_command

    async def count(self: Any, *args: Any, **options: Any) -> None:
        counted[self.port] += 1
        await send(self, *args, **options)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", count)
    return counted
