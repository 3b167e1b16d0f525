"""Reads the caller's trace from `traceparent` (W3C Trace Context, 3.2). Makes no trace."""

from __future__ import annotations

import re
from typing import Final

# Version ff, and ids that are all zeros, are invalid. A later version may have more data after the
# flags. Its meaning is unknown, so such a field is not passed on.
TRACE: Final = rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
TRACEPARENT: Final = re.compile(TRACE)

# The last digits for which the lowest bit of the flags is set. The service that began the trace
# then keeps it, and it can be looked up.
SAMPLED: Final = b"13579bdf"
# The position of the trace id.
ID: Final = slice(3, 35)


def sound_of(traceparent: bytes | None) -> bytes | None:
    """The same `traceparent` if it is valid, otherwise None."""
    if traceparent is None or not TRACEPARENT.fullmatch(traceparent):
        return None
    return traceparent


def trace_id_of(traceparent: bytes | None) -> str | None:
    """The trace id of a valid `traceparent`, otherwise None."""
    if traceparent is None or not TRACEPARENT.fullmatch(traceparent):
        return None
    return traceparent[ID].decode("ascii")


def sampled_trace_of(traceparent: bytes | None) -> bytes | None:
    """The trace id of a valid `traceparent` whose trace is sampled, otherwise None."""
    if traceparent is None or not TRACEPARENT.fullmatch(traceparent):
        return None
    return traceparent[ID] if traceparent[-1] in SAMPLED else None
