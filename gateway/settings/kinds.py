"""The kinds of settings: a type, how a text becomes it, and how people are told about it.

Each is an annotated type for `schema.py`. Pydantic keeps the type, the parsers of `values.py` and
`texts.py` read it, and the `Kind` beside them holds the words for faults and for the start log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field

from gateway.core.rates import Rate
from gateway.settings.texts import (
    mask_url,
    parse_base_url,
    parse_header_names,
    parse_host,
    parse_path,
    parse_prefix,
    parse_redis_url,
    parse_secret,
    parse_token,
)
from gateway.settings.values import (
    Secret,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_positive_duration,
    parse_rate,
    parse_size,
)
from gateway.settings.words import (
    AccessMode,
    ClientDirectives,
    FreshnessSource,
    LogFormat,
    LogLevel,
    NoStore,
    RateScope,
    SweepEnabled,
    SweepWarm,
    WritesMode,
)

Printable = str | int | float | bool | list[str] | None
T = TypeVar("T")


def show_plain(value: object) -> Printable:
    """A value as it is written in the file; a secret as its mask."""
    match value:
        case None | bool() | int() | float():
            return value
        case tuple():
            return [str(item) for item in value]
        case _:
            return str(value)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a setting of this kind is called, what it wants, and how it is read and shown."""

    noun: str
    wanted: str
    json: bool = False  # in the environment: JSON, as for numbers, switches and lists
    secret: bool = False
    unset: bool = False  # shown as unset although the type has a default
    path: bool = False  # in a file: relative to that file's folder
    show: Callable[[object], Printable] = show_plain


def or_none(parse: Callable[[object], T]) -> Callable[[object], T | None]:
    """The same parser for a setting that may be unset."""
    return lambda value: None if value is None else parse(value)


def _one_of(words: type[StrEnum], noun: str, *, unset: bool = False) -> Kind:
    """The kind of a closed set of words."""
    return Kind(noun, ", ".join(f'"{word}"' for word in words), unset=unset)


def _show_duration(value: object) -> Printable:
    return format_duration(value) if isinstance(value, float) else show_plain(value)


def _show_size(value: object) -> Printable:
    return format_size(value) if isinstance(value, int) else show_plain(value)


def _show_rate(value: object) -> Printable:
    return format_rate(value) if isinstance(value, Rate) else format_rate(None)


def _show_url(value: object) -> Printable:
    return mask_url(value.reveal()) if isinstance(value, Secret) else None


def _parse_interval(value: object) -> float | str:
    return value if value == "auto" and isinstance(value, str) else parse_positive_duration(value)


def _switch_to_word(value: object) -> object:
    """The word for a TOML true or false, where a setting knows a third word beside them."""
    return str(value).lower() if isinstance(value, bool) else value


_DURATION = Kind("a duration", 'seconds or "30s", "5m", "24h"', show=_show_duration)
_ADDRESS = "redis://, rediss://, unix://, redis+sentinel://host,host/name or redis+cluster://"

Duration = Annotated[float, BeforeValidator(parse_duration), _DURATION]
PositiveDuration = Annotated[float, BeforeValidator(parse_positive_duration), _DURATION]
Interval = Annotated[
    float | Literal["auto"],
    BeforeValidator(_parse_interval),
    replace(_DURATION, wanted=f'"auto", {_DURATION.wanted}'),
]
Size = Annotated[
    int, BeforeValidator(parse_size), Kind("a size", 'bytes or "1KiB", "64MiB"', show=_show_size)
]
RateLimit = Annotated[
    Rate | None,
    BeforeValidator(parse_rate),
    Kind("a rate", '"100/minute", "5/second", "10/6s" or "unlimited"', show=_show_rate),
]
Share = Annotated[
    float,
    Field(gt=0, le=1, allow_inf_nan=False),
    Kind("a share", "a number above 0, at most 1", json=True),
]
Switch = Annotated[bool, Kind("true or false", "true or false", json=True)]
Port = Annotated[int, Field(ge=0, le=65535), Kind("a port", "0 to 65535", json=True)]
Sample = Annotated[
    int, Field(ge=0, le=1_000_000), Kind("a number", "a whole number, 0 or above", json=True)
]
Count = Annotated[
    int, Field(ge=1, le=1_000_000), Kind("a number", "a whole number above 0", json=True)
]
Host = Annotated[
    str, BeforeValidator(parse_host), Kind("a host", "a name or an address, without a port")
]
HeaderNames = Annotated[
    tuple[str, ...],
    BeforeValidator(parse_header_names),
    Kind("a list of header names", 'a list such as ["X-Name"]', json=True),
]
BaseUrl = Annotated[
    str,
    BeforeValidator(parse_base_url),
    Kind("an address", "http:// or https:// with a host, without credentials, query, fragment"),
]
FilePath = Annotated[
    Path | None,
    BeforeValidator(or_none(parse_path)),
    Kind("a path", "the path of a readable file", path=True),
]
Token = Annotated[
    Secret | None,
    BeforeValidator(or_none(parse_token)),
    Kind("a token", "visible ASCII characters without spaces", secret=True),
]
SecretText = Annotated[
    Secret | None,
    BeforeValidator(or_none(parse_secret)),
    Kind("a text", "a text that is not empty", secret=True),
]
RedisUrl = Annotated[
    Secret | None,
    BeforeValidator(or_none(parse_redis_url)),
    Kind("the address of a Redis", _ADDRESS, secret=True, show=_show_url),
]
Prefix = Annotated[
    str,
    BeforeValidator(parse_prefix),
    Kind("a prefix", "1 to 64 characters from A-Z a-z 0-9 . _ : -"),
]

# A word is the member it names: strict would want the member itself.
_WORD = Field(strict=False)

Writes = Annotated[WritesMode, _WORD, _one_of(WritesMode, "a treatment of writes")]
Scope = Annotated[RateScope, _WORD, _one_of(RateScope, "a scope")]
Mode = Annotated[AccessMode, _WORD, _one_of(AccessMode, "an access mode", unset=True)]
Source = Annotated[FreshnessSource, _WORD, _one_of(FreshnessSource, "a source")]
NoStoreWord = Annotated[NoStore, _WORD, _one_of(NoStore, "a treatment of no-store")]
Directives = Annotated[
    ClientDirectives, _WORD, _one_of(ClientDirectives, "a treatment of directives")
]
Enabled = Annotated[
    SweepEnabled,
    _WORD,
    BeforeValidator(_switch_to_word),
    _one_of(SweepEnabled, "true, false or auto"),
]
Warm = Annotated[SweepWarm, _WORD, _one_of(SweepWarm, "a way to warm")]
Format = Annotated[LogFormat | None, _WORD, _one_of(LogFormat, "a log format")]
Level = Annotated[LogLevel, _WORD, _one_of(LogLevel, "a log level")]
