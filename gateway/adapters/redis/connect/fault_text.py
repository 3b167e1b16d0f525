"""What of a driver's fault may be told: never what was sent, and no credential."""

from __future__ import annotations

import os
import re

from redis.exceptions import ConnectionError as ConnectionFault

# "Error 111 connecting to 127.0.0.1:6379. Connect call failed ('127.0.0.1', 6379)."
# "Error Multiple exceptions: [Errno 111] … connecting to localhost:6379."
_CONNECTING = re.compile(r"(?:Error |\[Errno )(\d+)\b.*? ?connecting to (\S+?)\.?(?:\s|$)", re.S)


def why(fault: Exception) -> str:
    """The reason for an operator: of a connection that failed, the address and the system's words.

    What Redis itself said may hold what it was sent; only of connecting and of credentials, where
    it does not, its words are passed on.
    """
    name = type(fault).__name__
    told = str(fault) if isinstance(fault, ConnectionFault | OSError) else ""
    # OpenSSL has numbers of its own, and words that say more.
    if "[SSL" not in told and (match := _CONNECTING.search(told)):
        told = f"{match[2]}: {os.strerror(int(match[1]))}"
    return f"{name}: {told}" if told else name
