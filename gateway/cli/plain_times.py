"""Times, durations and sizes as people write them: `05:12:07 UTC (4 min ago)`, `3 h 12 min`."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SIZES: Final = ("KiB", "MiB", "GiB")


def duration(seconds: float) -> str:
    """Two units at most: `250 ms`, `1.5 s`, `12 s`, `4 min 7 s`, `3 h 12 min`, `2 d 4 h`."""
    if seconds < 1.0:
        return f"{max(0.0, seconds) * 1000:.0f} ms" if seconds >= 0.0005 else "0 s"
    if seconds < 10.0:
        return f"{math.floor(seconds * 10) / 10:g} s"
    left = math.floor(seconds)
    parts: list[str] = []
    for word, unit in _UNITS:
        count, left = divmod(left, unit)
        if count or parts:
            parts.append(f"{count} {word}" if count else "")
    return " ".join(filter(None, parts[:2]))


def moment(at: float, now: float) -> str:
    """Seconds since the Unix epoch as a time of day, with the date where that is another one, and
    how long ago it was at `now`."""
    then, today = (datetime.fromtimestamp(each, UTC) for each in (at, now))
    form = "%H:%M:%S UTC" if then.date() == today.date() else "%Y-%m-%d %H:%M:%S UTC"
    ago = now - at
    distance = "just now"
    if ago >= 1.0:
        distance = f"{duration(ago)} ago"
    elif ago <= -1.0:
        distance = f"in {duration(-ago)}"
    return f"{then.strftime(form)} ({distance})"


def size(count: float) -> str:
    """Bytes: `312 bytes`, `2.1 KiB`, `64 MiB`."""
    if count < 1024:
        return f"{count:.0f} bytes"
    for unit in _SIZES:
        count /= 1024
        if count < 1024 or unit == _SIZES[-1]:
            break
    return f"{count:.1f} {unit}".replace(".0 ", " ")
