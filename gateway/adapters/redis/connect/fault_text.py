"""The part of a driver's error text that may be logged: never what was sent, and no credential."""

from __future__ import annotations

import os
import re

from redis.exceptions import ConnectionError as ConnectionFault

# "Error 111 connecting to 127.0.0.1:6379. Connect call failed ('127.0.0.1', 6379)."
# "Error Multiple exceptions: [Errno 111] … connecting to localhost:6379."
_CONNECTING = re.compile(r"(?:Error |\[Errno )(\d+)\b.*? ?connecting to (\S+?)\.?(?:\s|$)", re.S)


def why(fault: Exception) -> str:
    """The reason in words for an operator. If a connection failed: the address, and the words of
    the operating system.

    An error text of Redis may quote what was sent to it. It is used only if it is about connecting
    or credentials, because such texts do not.
    """
    name = type(fault).__name__
    told = str(fault) if isinstance(fault, ConnectionFault | OSError) else ""
    # OpenSSL has its own numbers, and its words say more.
    if "[SSL" not in told and (match := _CONNECTING.search(told)):
        told = f"{match[2]}: {os.strerror(int(match[1]))}"
    return f"{name}: {told}" if told else name
