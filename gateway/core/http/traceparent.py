"""Reads the caller's trace from `traceparent` (W3C Trace Context, 3.2)."""

from __future__ import annotations

import re
from typing import Final

# Version ff is invalid, and so are ids of zeros only. A field of a later version that has more data
# after the flags counts as invalid too.
TRACE: Final = rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
TRACEPARENT: Final = re.compile(TRACE)

# If the last digit of the flags is one of these, the lowest bit is set: the trace is sampled, so
# operators can look it up.
SAMPLED: Final = b"13579bdf"
# The position of the trace id.
ID: Final = slice(3, 35)


def sound_of(traceparent: bytes | None) -> bytes | None:
    """The unchanged `traceparent` if it is valid, otherwise None."""
    if traceparent is None or not TRACEPARENT.fullmatch(traceparent):
        return None
    return traceparent


def trace_id_of(traceparent: bytes | None) -> str | None:
    """The trace id of a valid `traceparent`, otherwise None."""
    sound = sound_of(traceparent)
    return None if sound is None else sound[ID].decode("ascii")


def sampled_trace_of(traceparent: bytes | None) -> bytes | None:
    """The trace id of a valid `traceparent` whose trace is sampled, otherwise None."""
    sound = sound_of(traceparent)
    return None if sound is None or sound[-1] not in SAMPLED else sound[ID]
