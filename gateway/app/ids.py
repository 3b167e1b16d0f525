"""Ids of requests that came without one. The second place, beside the clock, of real chance."""

from __future__ import annotations

from collections.abc import Iterator
from secrets import token_hex

_AT_ONCE = 256
_DIGITS = 32


def ids() -> Iterator[bytes]:
    """Ids without end, 128 bits each as hex digits; the system is asked for many at once, since
    each hit needs one."""
    while True:
        digits = token_hex(_AT_ONCE * _DIGITS // 2).encode("ascii")
        for start in range(0, len(digits), _DIGITS):
            yield digits[start : start + _DIGITS]
