"""Scripts: sent once, and again where a Redis has forgotten them."""

from __future__ import annotations

from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.connect.script import Script
from gateway.core.vocabulary import RedisOperation
from tests.doubles.clocks import RealClock
from tests.doubles.observer import RecordingObserver
from tests.support.servers import RedisServer

LOOKUP = RedisOperation.LOOKUP


async def test_a_script_is_loaded_where_it_is_unknown(redis_server: RedisServer) -> None:
    """Also after Redis has forgotten it."""
    redis_server.flush()
    connection = Connection(redis_server.url, RealClock(), RecordingObserver(), timeout=30.0)
    await connection.check()
    script = Script("local t = redis.call('TIME'); return {t[1], t[2], ARGV[1]}", "0" * 40)

    for _ in range(2):
        reply = await connection.run_script(LOOKUP, script, (), ("a",), lambda reply: reply[0])
        assert reply == b"a"
    await connection.close()
