"""Parsers make values from what an operator wrote. Formatters make texts for people.

A parser raises `ValueError` if it cannot make a value. If the error has no text, `schema.judge`
makes the message: it says for example "is not a duration", and quotes what the operator wrote,
unless the setting is a secret. The parser gives the error a text if such a message would not say
enough, or would perhaps quote a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

from gateway.core.budget.window_log import Rate
from gateway.core.redis_url import masked, read_address

_SECONDS = {"": Decimal(1), "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60),
            "h": Decimal(3600), "d": Decimal(86400)}  # fmt: skip
_BYTES = {"": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3,
          "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}  # fmt: skip
_DURATION = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|s|m|h|d|)")
_SIZE = re.compile(r"([0-9]{1,18})(B|kB|KB|MB|GB|KiB|MiB|GiB|)")
# A hundred years in seconds. The floats of Redis' scripts hold it in milliseconds exactly.
LONGEST_DURATION = 100 * 365 * 86400
# Where zero is not accepted, a value below these is no use either: no call ends in less than a
# millisecond, and no request or training is smaller than a thousand bytes in practice.
SHORTEST_DURATION = 0.001
SMALLEST_SIZE = 1000

_WINDOWS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_RATE = re.compile(r"([1-9][0-9]{0,8})/([a-z]+|[0-9.]+(?:ms|s|m|h|d))")
_UNLIMITED = "unlimited"

# Resolvers refuse a name with a label that is empty or longer than 63 characters.
_HOST = re.compile(r"(?![_-])[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*(?<![_-])")
_FOUR_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+){3}")
_LOCATION = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE = re.compile(r"[!-~]+")

# Fields of one connection (RFC 9110, 7.6.1), fields that the gateway itself handles, and fields
# that say who the caller is.
NEVER_FORWARDED = frozenset({
    "accept-encoding", "authorization", "cache-control", "connection", "content-encoding",
    "content-length", "content-type", "cookie", "expect", "host", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "keep-alive",
    "pragma", "proxy-authenticate", "proxy-authorization", "proxy-connection", "range",
    "set-cookie", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


def parse_duration(value: object) -> float:
    """Seconds, zero included, from a number or a text such as "30s" or "250ms"."""
    amount = _amount(value, _DURATION, _SECONDS)
    if not 0 <= amount <= LONGEST_DURATION:
        raise ValueError
    return float(amount)


def parse_positive_duration(value: object) -> float:
    """Seconds, at least a millisecond, in any form that `parse_duration` accepts."""
    seconds = parse_duration(value)
    if seconds < SHORTEST_DURATION:
        raise ValueError("must be at least 1ms")
    return seconds


def parse_interval(value: object) -> float | str:
    """The word "auto", or what `parse_positive_duration` accepts."""
    return value if isinstance(value, str) and value == "auto" else parse_positive_duration(value)


def format_duration(seconds: float | str) -> str:
    """The text in the largest unit (h, m, s, ms) that gives a whole number, otherwise in seconds.
    `parse_duration` turns it back into exactly these seconds."""
    if isinstance(seconds, str):
        return seconds
    amount = Decimal(repr(seconds))
    if amount == 0:
        return "0s"
    return _shortest(amount, _SECONDS, "h m s ms") or f"{amount:f}s"


def parse_size(value: object) -> int:
    """Bytes, at least a thousand, from a whole number or a text such as "64MiB" or "1MB"."""
    size = _amount(value, _SIZE, _BYTES)
    if isinstance(size, float) or size < 0:
        raise ValueError
    if size < SMALLEST_SIZE:
        raise ValueError("must be at least 1000 bytes")
    return int(size)


def format_size(size: int) -> str:
    """The text in the largest unit (GiB, MiB, KiB) that gives a whole number, otherwise in
    bytes."""
    return _shortest(size, _BYTES, "GiB MiB KiB") or str(size)


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
    """The inverse of `parse_rate`."""
    if rate is None:
        return _UNLIMITED
    words = {window: word for word, window in _WINDOWS.items()}
    return f"{rate.limit}/{words.get(rate.window) or format_duration(rate.window)}"


def parse_host(value: object) -> str:
    """A name or an address to listen on, without scheme, port or brackets."""
    if not isinstance(value, str) or not _is_host(value):
        raise ValueError
    return value


def parse_path(value: object) -> Path:
    """A path. `schema.contradictions` checks the file."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return Path(value)


def parse_token(value: object) -> SecretStr:
    """A credential for a header: visible ASCII characters without spaces."""
    secret = parse_secret(value)
    if not _VISIBLE.fullmatch(secret.get_secret_value()):
        raise ValueError("has a character that is a space, invisible, or outside ASCII")
    return secret


def parse_secret(value: object) -> SecretStr:
    """Any text that is not empty, and is valid UTF-8."""
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise ValueError
    if not value:
        raise ValueError("is empty")
    # Python turns bytes of the environment that are not UTF-8 into lone surrogates.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("is not UTF-8")
    return SecretStr(value)


def parse_base_url(value: object) -> str:
    """An http or https address with a host, without credentials, query and fragment. Slashes at its
    end are removed. Its path does not end with `/training`, which the gateway adds."""
    address = _address(value, "upstream.token")
    if address.endswith("/training"):
        raise ValueError("ends with /training, which the gateway adds to each call: leave it out")
    return address


def parse_endpoint(value: object) -> str:
    """The address of a collector of traces: an http or https address, without credentials, query
    and fragment. Slashes at its end are removed."""
    return _address(value, "OTEL_EXPORTER_OTLP_HEADERS")


def _address(value: object, credentials: str) -> str:
    if not isinstance(value, str):
        raise ValueError
    # A value with `@`, `?` or `#` perhaps has a password. So it is refused first, by errors whose
    # texts do not quote it. The later errors have no text, so `schema.judge` quotes the value.
    if "@" in value:
        raise ValueError(f"carries credentials, which belong into {credentials}")
    if "?" in value or "#" in value:
        raise ValueError("has a query or a fragment")
    if not _VISIBLE.fullmatch(value):
        raise ValueError
    url = _split(value)
    if url.scheme not in ("http", "https") or not _is_location(url.netloc):
        raise ValueError
    return value.rstrip("/")


def parse_redis_url(value: object) -> SecretStr:
    """The address of a Redis, as a secret because it can have a password."""
    secret = parse_token(value)
    read_address(secret.get_secret_value())
    return secret


def mask_url(secret: SecretStr | None) -> str | None:
    """The URL for logs, without its user, password and query."""
    return None if secret is None else masked(secret.get_secret_value())


def parse_header_names(value: object) -> tuple[str, ...]:
    """Request headers in lower case, each once, none of NEVER_FORWARDED."""
    # An operator can write "Authorization: Bearer …" here. So messages quote only valid names.
    if not isinstance(value, list | tuple):
        raise ValueError("is not a list of header names")
    names = tuple(_header_name(name, place) for place, name in enumerate(value, start=1))
    if len(set(names)) < len(names):
        raise ValueError("names a header twice")
    return names


def _header_name(value: object, place: int) -> str:
    if not isinstance(value, str) or not _HEADER_NAME.fullmatch(value):
        raise ValueError(f"entry {place} is not the name of a header")
    name = value.lower()
    if name in NEVER_FORWARDED:
        raise ValueError(f'"{name}" is never forwarded')
    return name


def _amount(
    value: object, written: re.Pattern[str], units: Mapping[str, int | Decimal]
) -> int | float | Decimal:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    match = written.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    # Decimal, because 0.001 has no exact float and "50ms" must be the float 0.05.
    return Decimal(match[1]) * units[match[2]]


def _shortest(amount: int | Decimal, units: Mapping[str, int | Decimal], shown: str) -> str | None:
    for unit in shown.split():
        if amount % units[unit] == 0:
            return f"{int(amount / units[unit])}{unit}"
    return None


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        # `from None`, because the message of urlsplit quotes the URL.
        raise ValueError from None


def _is_location(text: str) -> bool:
    match = _LOCATION.fullmatch(text)
    if match is None or int(match["port"] or 0) > 65535:
        return False
    return _is_host(match["host"] or match["v6"])


def _is_host(text: str) -> bool:
    if ":" not in text and not _FOUR_NUMBERS.fullmatch(text):
        return _HOST.fullmatch(text) is not None
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
