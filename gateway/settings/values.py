"""Durations, sizes, rates and secrets: from what an operator writes, and back to it.

A parser takes any object and raises `ValueError` on what it does not know: without a text where
"this is not a duration" says it all, else with what is wrong. It never repeats the value.
"""

from __future__ import annotations

import hmac
import re
from decimal import Decimal
from typing import NoReturn

from gateway.core.rates import Rate

_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_SHOWN_UNITS = ("h", "m", "s", "ms")
_DURATION = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|s|m|h|d)?")
# A century: far beyond any use, and still exact in milliseconds for Redis.
LONGEST_DURATION = 100 * 365 * 86400

_BYTES = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_SHOWN_SIZES = ("GiB", "MiB", "KiB")
_SIZE = re.compile(r"([0-9]{1,18})(B|kB|KB|MB|GB|KiB|MiB|GiB)?")

_WINDOWS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_RATE = re.compile(r"([1-9][0-9]{0,8})/([a-z]+|[0-9.]+(?:ms|s|m|h|d))")
_UNLIMITED = "unlimited"


class Secret:
    """A text that shows itself to nobody but who asks for it by `reveal`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes(), other._bytes())

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def _bytes(self) -> bytes:
        return self._text.encode(errors="surrogatepass")


def parse_duration(value: object) -> float:
    """Seconds, zero included, from a number of seconds or a text such as "30s" or "250ms"."""
    amount = _seconds(value)
    if not 0 <= amount <= LONGEST_DURATION:
        raise ValueError
    return float(amount)


def parse_positive_duration(value: object) -> float:
    """Seconds above zero, in the forms of `parse_duration`."""
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("must be above zero")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` turns back into exactly these seconds."""
    amount = Decimal(repr(seconds))
    if amount == 0:
        return "0s"
    for unit in _SHOWN_UNITS:
        if amount % _SECONDS[unit] == 0:
            return f"{int(amount / _SECONDS[unit])}{unit}"
    return f"{amount:f}s"


def parse_size(value: object) -> int:
    """Bytes, above zero, from a number of bytes or a text such as "64MiB" or "1MB"."""
    size = _bytes(value)
    if size < 0:
        raise ValueError
    if size == 0:
        raise ValueError("must be above zero")
    return size


def format_size(size: int) -> str:
    """The shortest text in binary units that `parse_size` turns back into exactly these bytes."""
    for unit in _SHOWN_SIZES:
        if size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


def parse_rate(value: object) -> Rate | None:
    """A rate from "100/minute" or "10/6s"; None from "unlimited"."""
    if value is None or value == _UNLIMITED:
        return None
    if isinstance(value, Rate):
        return value
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    limit, per = match.groups()
    return Rate(int(limit), _WINDOWS.get(per) or parse_positive_duration(per))


def format_rate(rate: Rate | None) -> str:
    """The text that `parse_rate` turns back into this rate."""
    if rate is None:
        return _UNLIMITED
    words = {window: word for word, window in _WINDOWS.items()}
    return f"{rate.limit}/{words.get(rate.window) or format_duration(rate.window)}"


def _seconds(value: object) -> int | float | Decimal:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    # Decimal, because 0.001 has no exact float and "50ms" must be the float 0.05.
    return Decimal(match[1]) * _SECONDS[match[2] or "s"]


def _bytes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    return int(match[1]) * _BYTES[match[2] or "B"]
