"""The types of settings: how a value is read, and how messages, the log and `/status` show it.

pydantic checks the type. The `Kind` of a type has the parser, and the words for messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo

from gateway.core.budget.window_log import Rate
from gateway.settings import parsers

Printable = str | int | float | bool | list[str] | None


def show_plain(value: object) -> Printable:
    """A value in the form of the settings file, with secrets masked."""
    match value:
        case None | bool() | int() | float():
            return value
        case SecretStr():
            return "***"
        case tuple():
            return [str(item) for item in value]
        case _:
            return str(value)


@dataclass(frozen=True, slots=True)
class Kind:
    """How the values of a type are read and shown, and the words for messages about them.

    noun    what a valid value is called: the message about an invalid value says "is not {noun}"
    wanted  which values are accepted
    """

    noun: str
    wanted: str
    parse: Callable[[object], object] = lambda value: value
    show: Callable[..., Printable] = show_plain
    json: bool = False  # the setting's environment variable holds JSON
    secret: bool = False
    path: bool = False  # a relative path in a settings file starts at that file's folder


def kind_of(field: FieldInfo) -> Kind:
    """The kind of a field of the schema."""
    for mark in field.metadata:
        if isinstance(mark, Kind):
            return mark
    for words in (field.annotation, *get_args(field.annotation)):
        if isinstance(words, type) and issubclass(words, StrEnum):
            return _one_of(words)
    raise TypeError("the field has no kind")


def _one_of(words: type[StrEnum]) -> Kind:
    def parse(value: object) -> StrEnum:
        try:
            return words(str(value).lower() if isinstance(value, bool) else str(value))
        except ValueError:
            raise ValueError from None

    return Kind("one of the allowed words", ", ".join(f'"{word}"' for word in words), parse)


class WritesMode(StrEnum):
    """How the gateway treats a caller's write."""

    DENY = "deny"
    FORWARD = "forward"


class RateScope(StrEnum):
    """Which callers share one budget: those of one tenant, or those with the same token."""

    SHARED = "shared"
    CREDENTIAL = "credential"


class ColdStart(StrEnum):
    """How many calls may be made immediately if the earlier calls are not known.

    `paced`: a tenth of the limit; the other calls become free evenly in one window. `full`: all.
    """

    PACED = "paced"
    FULL = "full"


class AccessMode(StrEnum):
    """Which credential a caller needs, and whose token goes upstream."""

    PASSTHROUGH = "passthrough"
    CLIENTS = "clients"
    OPEN = "open"


class FreshnessSource(StrEnum):
    """Whose rules decide how long a response is fresh: the gateway's or the upstream's."""

    POLICY = "policy"
    ORIGIN = "origin"


class NoStore(StrEnum):
    """The effect of the upstream's `no-store`, if the source of freshness is `policy`."""

    RESPECT = "respect"
    IGNORE = "ignore"


class ClientDirectives(StrEnum):
    """The effect of a caller's `Cache-Control`."""

    LIMITED = "limited"
    IGNORE = "ignore"


class SweepEnabled(StrEnum):
    """Whether the gateway sweeps. `auto`: only if it has a token to sweep with."""

    TRUE = "true"
    FALSE = "false"
    AUTO = "auto"


class SweepWarm(StrEnum):
    """When an empty cache is filled from the list."""

    BEFORE_READY = "before-ready"
    BACKGROUND = "background"
    OFF = "off"


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_SECONDS = 'seconds or "30s", "5m", "24h"'
_ADDRESS = "redis://, rediss://, unix://, redis+sentinel://host,host/name or redis+cluster://"
_show = parsers.format_duration

Duration = Annotated[float, Kind("a duration", _SECONDS, parsers.parse_duration, _show)]
PositiveDuration = Annotated[
    float, Kind("a duration", _SECONDS, parsers.parse_positive_duration, _show)
]
Interval = Annotated[
    float | Literal["auto"],
    Kind("a duration", f'"auto", {_SECONDS}', parsers.parse_interval, _show),
]
Size = Annotated[
    int, Kind("a size", 'bytes or "1KiB", "64MiB"', parsers.parse_size, parsers.format_size)
]
RATE = Kind(
    "a rate",
    '"100/minute", "5/second", "10/6s" or "unlimited"',
    parsers.parse_rate,
    parsers.format_rate,
)
RateLimit = Annotated[Rate | None, RATE]
Share = Annotated[
    float,
    Field(gt=0, le=1, allow_inf_nan=False),
    Kind("a share", "a number above 0, at most 1", json=True),
]
Switch = Annotated[bool, Kind("true or false", "true or false", json=True)]
Port = Annotated[int, Field(ge=0, le=65535), Kind("a port", "0 to 65535", json=True)]
Sample = Annotated[
    int,
    Field(ge=0, le=1_000_000),
    Kind("an accepted number", "a whole number, 0 to 1000000", json=True),
]
Count = Annotated[
    int,
    Field(ge=1, le=1_000_000),
    Kind("an accepted number", "a whole number, 1 to 1000000", json=True),
]
Host = Annotated[str, Kind("a host", "a name or an address, without a port", parsers.parse_host)]
HeaderNames = Annotated[
    tuple[str, ...],
    Kind(
        "a list of header names", 'a list such as ["X-Name"]', parsers.parse_header_names, json=True
    ),
]
_BASE_URL = Kind(
    "an address",
    "http:// or https:// with a host, without credentials, query, fragment",
    parsers.parse_base_url,
)
BaseUrl = Annotated[str, _BASE_URL]
DocumentsUrl = Annotated[str | None, _BASE_URL]
Endpoint = Annotated[str | None, replace(_BASE_URL, parse=parsers.parse_endpoint)]
FilePath = Annotated[
    Path | None, Kind("a path", "the path of a readable file", parsers.parse_path, path=True)
]
Token = Annotated[
    SecretStr | None,
    Kind("a token", "visible ASCII characters without spaces", parsers.parse_token, secret=True),
]
SecretText = Annotated[
    SecretStr | None, Kind("a text", "a text that is not empty", parsers.parse_secret, secret=True)
]
RedisUrl = Annotated[
    SecretStr | None,
    Kind(
        "the address of a Redis", _ADDRESS, parsers.parse_redis_url, parsers.mask_url, secret=True
    ),
]
# Braces are not allowed: in a Redis Cluster, braces in the name of a record decide its slot.
Prefix = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$"),
    Kind("a prefix", "1 to 64 characters from A-Z a-z 0-9 . _ : -"),
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one setting, and what is wanted instead, without secrets."""

    name: str
    problem: str
    wanted: str

    def __str__(self) -> str:
        line = f"{self.name}: {self.problem} (wanted: {self.wanted})"
        # Names and paths come from outside, and can have line breaks and control characters.
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


class SettingsFault(Exception):
    """All faults of the settings."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
