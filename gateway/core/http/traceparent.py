"""The caller's trace, read from `traceparent` (W3C Trace Context, 3.2); nothing is made here."""

from __future__ import annotations

import re
from typing import Final

# Version ff, and ids of zeros alone, are none. Later versions may say more behind the flags: of
# those nothing is known, and so nothing is passed on.
TRACE: Final = rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
TRACEPARENT: Final = re.compile(TRACE)

# The last byte where the lowest bit of the flags is set: the service that began the trace keeps it,
# and it can be looked up.
SAMPLED: Final = b"13579bdf"
# Where the id of the trace stands.
ID: Final = slice(3, 35)


def sound_of(traceparent: bytes | None) -> bytes | None:
    """The same, where it is one."""
    if traceparent is None or not TRACEPARENT.fullmatch(traceparent):
        return None
    return traceparent


def trace_id_of(traceparent: bytes | None) -> str | None:
    """The trace of a sound `traceparent`."""
    if traceparent is None or not TRACEPARENT.fullmatch(traceparent):
        return None
    return traceparent[ID].decode("ascii")


def sampled_trace_of(traceparent: bytes | None) -> bytes | None:
    """The same, where the trace is sampled."""
    if traceparent is None or not TRACEPARENT.fullmatch(traceparent):
        return None
    return traceparent[ID] if traceparent[-1] in SAMPLED else None
