"""A real Redis whose scripts read a time that a test chooses, and a connection to it.

The scripts run as Redis' own user. Tests with real gateways show what the documented user may do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final

import redis

from gateway.adapters.redis.connect.script import Script
from gateway.core.errors import RedisUnavailable
from gateway.core.vocabulary import RedisOperation
from tests.support import redis_acl

# The last two arguments of a script are Redis' time (microseconds) and the identity of the server.
_TIME: Final = (
    "{ string.format('%.0f', math.floor(tonumber(ARGV[#ARGV - 1]) / 1000000)), "
    "tonumber(ARGV[#ARGV - 1]) % 1000000 }"
)
_SERVER: Final = "('master_replid:' .. ARGV[#ARGV])"


class TimedRedis:
    """Runs scripts at the time `now()`. `edit` changes the text of the scripts."""

    def __init__(
        self, url: str, now: Callable[[], float], edit: Callable[[str], str] = str
    ) -> None:
        self.client = redis.Redis.from_url(redis_acl.without(url))
        self.client.flushdb()
        self.server = "a" * 40
        self._now = now
        self._edit = edit
        self._known: dict[str, str] = {}

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> list[Any]:
        """The reply of the script, without Redis' time."""
        digest = self._known.get(script.digest)
        if digest is None:
            text = self._edit(script.text)
            text = text.replace("redis.call('TIME')", _TIME)
            text = text.replace("redis.call('INFO', 'replication')", _SERVER)
            self.client.script_load(text)
            digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
            self._known[script.digest] = digest
        given = (*keys, *arguments, round(self._now() * 1_000_000), self.server)
        reply: Any = self.client.evalsha(digest, len(keys), *given)
        return list(reply)[2:]

    def new_server(self) -> None:
        """Another process has the data."""
        self.server = sha1(self.server.encode(), usedforsecurity=False).hexdigest()

    def lose(self, pattern: str) -> None:
        """Delete the keys that match."""
        for key in self.client.keys(pattern):
            self.client.delete(key)


class TimedConnection:
    """In the place of `Connection`: Redis answers at once."""

    def __init__(self, server: TimedRedis) -> None:
        self.server = server

    @property
    def is_up(self) -> bool:
        return True

    async def run_script(
        self,
        _operation: RedisOperation,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Any],
        read: Callable[[list[Any]], Any],
    ) -> Any:
        if not self.is_up:
            raise RedisUnavailable(RedisOperation.BUDGET, "it is away")
        return read(self.server.run(script, keys, arguments))
