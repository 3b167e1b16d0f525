from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as ConnectionFault
from redis.exceptions import ResponseError

from gateway.adapters.redis.connect.transport import why


@pytest.mark.parametrize(
    "told",
    [
        "Error 111 connecting to 127.0.0.1:6379. Connect call failed ('127.0.0.1', 6379).",
        "Error 111 connecting to 127.0.0.1:6379. Connection refused.",
        "Error Multiple exceptions: [Errno 111] Connect call failed ('::1', 6379, 0, 0), "
        "[Errno 111] Connect call failed ('127.0.0.1', 6379) connecting to 127.0.0.1:6379.",
    ],
)
def test_a_refused_connection_is_said_with_its_address(told: str) -> None:
    """Whichever of its forms the driver takes."""
    assert why(ConnectionFault(told)) == "ConnectionError: 127.0.0.1:6379: Connection refused"


def test_a_socket_that_is_not_there_is_said_with_its_path() -> None:
    """The same for unix://."""
    told = "Error 2 connecting to /run/redis.sock. No such file or directory."

    assert why(ConnectionFault(told)) == (
        "ConnectionError: /run/redis.sock: No such file or directory"
    )


def test_other_words_about_a_connection_are_passed_on() -> None:
    """A name that is not known has no number of the system's."""
    told = "Error -2 connecting to nowhere:6379. Name or service not known."

    assert why(ConnectionFault(told)) == f"ConnectionError: {told}"
    assert why(ConnectionFault("Connection closed by server.")) == (
        "ConnectionError: Connection closed by server."
    )


def test_openssl_has_its_own_words() -> None:
    """Its numbers are none of the system's."""
    told = "Error 1 connecting to redis:6379. [SSL: CERTIFICATE_VERIFY_FAILED] verify failed."

    assert why(ConnectionFault(told)) == f"ConnectionError: {told}"


@pytest.mark.parametrize("fault", [ResponseError("unknown command 'secret'"), TimeoutError()])
def test_what_redis_said_is_not_told(fault: Exception) -> None:
    """It may quote what it was sent."""
    assert why(fault) == type(fault).__name__
