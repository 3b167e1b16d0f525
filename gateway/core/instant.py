"""Points in time, exact to the nanosecond, and their forms as text.

An `Instant` is the nanoseconds since 1970-01-01T00:00:00Z without leap seconds, within the years
0001 to 9999. A `datetime` has only microseconds.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NewType

Instant = NewType("Instant", int)

NANOSECONDS: Final = 1_000_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_DAY: Final = 86_400
_EARLIEST: Final = (1 - _EPOCH_DAY) * _DAY * NANOSECONDS
_LATEST: Final = (date.max.toordinal() + 1 - _EPOCH_DAY) * _DAY * NANOSECONDS - 1

# The wire form is text for Lua and Redis. It sorts by time, because the shift makes all instants
# positive, and zeros in front give all texts one length.
WIRE_LENGTH: Final = 21
_WIRE_SHIFT: Final = 10**20
_MANY_SECONDS: Final = 1e10
_WIRE: Final = re.compile(r"[0-9]{21}")

_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]"
    r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]{1,9})[0-9]{0,15})?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_CLOCK: Final = r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_HTTP_DATES: Final = (
    re.compile(
        rf"(?:{'|'.join(_DAYS)}), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_CLOCK} GMT",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, "
        rf"(?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_CLOCK} GMT",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?:{'|'.join(_DAYS)}) {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_CLOCK} (?P<year>[0-9]{{4}})",
        re.IGNORECASE,
    ),
)
_LONGEST_HTTP_DATE: Final = len("Wednesday, 09-Sep-94 00:00:00 GMT")


def parse_instant(text: str) -> Instant:
    """Read an RFC 3339 date-time with an offset. Raises ValueError for any other text.

    A fraction may have up to 24 digits. Digits after the ninth are cut off, because an error would
    make the gateway refuse the whole training. A leap second counts as the next midnight (UTC).
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 date-time with an offset")
    year, month, day, hour, minute, second, fraction, sign, off_hour, off_minute = match.groups()
    seconds = _epoch_seconds(date(int(year), int(month), int(day)), hour, minute, second)
    if sign is not None:
        ahead = int(off_hour) * 3600 + int(off_minute) * 60
        seconds += ahead if sign == "-" else -ahead
    if second != "60":
        return _within_range(seconds * NANOSECONDS + int((fraction or "").ljust(9, "0")))
    if seconds % _DAY:
        raise ValueError("a leap second comes only before midnight UTC")
    return _within_range(seconds * NANOSECONDS)


def to_rfc3339(instant: Instant) -> str:
    """Write an instant in UTC, with the shortest fraction."""
    seconds, nanoseconds = divmod(instant, NANOSECONDS)
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{_utc(seconds).replace(tzinfo=None).isoformat()}{fraction}Z"


def to_wire(instant: Instant) -> str:
    """Write an instant as 21 ASCII digits."""
    return f"{instant + _WIRE_SHIFT:021d}"


def from_wire(text: str) -> Instant:
    """Read the text that `to_wire` wrote. Raises ValueError for any other text."""
    if _WIRE.fullmatch(text) is None:
        raise ValueError(f"not the wire form of an instant: {text[:40]!r}")
    return _within_range(int(text) - _WIRE_SHIFT)


def from_seconds(seconds: float) -> Instant:
    """The instant `seconds` after the epoch. Raises ValueError outside the years 0001 to 9999."""
    if not math.isfinite(seconds):
        raise ValueError("not a finite number of seconds")
    whole = math.floor(seconds)
    return _within_range(whole * NANOSECONDS + round((seconds - whole) * NANOSECONDS))


def are_seconds(*values: float) -> bool:
    """Whether each value can be a time or a duration: it is not negative, and below 1e10 s. A time
    below 1e10 s lies before the year 2287, and has at most 16 digits in microseconds."""
    return all(math.isfinite(value) and 0.0 <= value < _MANY_SECONDS for value in values)


def to_seconds(instant: Instant) -> float:
    """Seconds since the epoch, as exact as a float can be."""
    return instant / NANOSECONDS


def to_http_date(instant: Instant) -> str:
    """Write an instant as IMF-fixdate (RFC 9110, 5.6.7), rounded down to whole seconds."""
    return _http_date(instant // NANOSECONDS)


@lru_cache(1_024)
def _http_date(seconds: int) -> str:
    moment = _utc(seconds)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02d} {month} {moment.year:04d} {moment:%H:%M:%S} GMT"


def parse_http_date(text: str) -> float | None:
    """Epoch seconds of an HTTP-date in any of its three forms (RFC 9110, 5.6.7), in upper or lower
    case (RFC 9111, 4.2). None for any other text.

    The two-digit years 69 to 99 mean 1969 to 1999, as in POSIX. By the RFC's rule `01-Jan-70` would
    mean 2070, but servers often send it for "long ago".
    """
    bare = text.strip(" \t")
    return _parse_http_date(bare) if len(bare) <= _LONGEST_HTTP_DATE else None


@lru_cache(1_024)
def _parse_http_date(text: str) -> float | None:
    for form in _HTTP_DATES:
        match = form.fullmatch(text)
        if match is not None:
            return _http_seconds(match)
    return None


def _http_seconds(match: re.Match[str]) -> float | None:
    year, month = int(match["year"]), _MONTHS.index(match["month"].title()) + 1
    if len(match["year"]) == 2:
        year += 1900 if year >= 69 else 2000
    try:
        day = date(year, month, int(match["day"]))
    except ValueError:
        return None
    return float(_epoch_seconds(day, match["hour"], match["minute"], match["second"]))


def _epoch_seconds(day: date, hour: str, minute: str, second: str) -> int:
    in_day = int(hour) * 3600 + int(minute) * 60 + int(second)
    return (day.toordinal() - _EPOCH_DAY) * _DAY + in_day


def _utc(seconds: int) -> datetime:
    """The time as a datetime. `datetime.fromtimestamp` would fail before 1970 on some systems."""
    return _EPOCH + timedelta(seconds=seconds)


def _within_range(nanoseconds: int) -> Instant:
    """The instant. Raises ValueError outside the years 0001 to 9999, for example because of an
    offset."""
    if not _EARLIEST <= nanoseconds <= _LATEST:
        raise ValueError("beyond the years 0001 to 9999 in UTC")
    return Instant(nanoseconds)
