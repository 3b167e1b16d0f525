"""The reason of a failure of Redis, as text for operators."""

from __future__ import annotations

import pytest
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.exceptions import ConnectionError as ConnectionFault
from redis.exceptions import ResponseError

from gateway.adapters.redis.connect.transport import why
from tests.support.servers import HOST, free_port


def test_a_refused_connection_is_said_in_the_words_of_the_driver() -> None:
    """They have the address, and the message of the operating system."""
    told = "Error 111 connecting to 127.0.0.1:6379. Connection refused."

    assert why(ConnectionFault(told)) == f"ConnectionError: {told}"


async def test_a_sentinel_is_named_without_its_options() -> None:
    """The driver's text shows all of them."""
    port = free_port()
    sentinels = Sentinel([(HOST, port)], password="hunter2")  # type: ignore[no-untyped-call]

    with pytest.raises(MasterNotFoundError) as fault:
        await sentinels.discover_master("main")

    assert why(fault.value) == (
        f"MasterNotFoundError: No master found for 'main' : {HOST}:{port} network:ConnectionError"
    )


@pytest.mark.parametrize("fault", [ResponseError("unknown command 'secret'"), TimeoutError()])
def test_what_redis_said_is_not_told(fault: Exception) -> None:
    """It may quote what it was sent."""
    assert why(fault) == type(fault).__name__
