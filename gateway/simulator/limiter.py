"""The upstream's own rate limit. Each key (the token of a call) has a sliding log of accepted
calls.

Tests check the gateway's budget against this limit, so the two share no code.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from enum import StrEnum


class RetryAfter(StrEnum):
    """How a 429 says when to call again."""

    SECONDS = "seconds"
    HTTP_DATE = "http-date"
    RATELIMIT_FIELD = "ratelimit-field"
    RATELIMIT_HEADERS = "ratelimit-headers"
    X_RATELIMIT = "x-ratelimit"
    NONE = "none"


class Limiter:
    """Accepts at most `limit` calls per key in any `window` seconds. Refused calls do not count
    towards the limit."""

    def __init__(self, limit: int | None, window: float) -> None:
        self.limit = limit
        self.window = window
        self._accepted: dict[str, _Log] = {}
        self._asked: dict[str, _Log] = {}

    def take(self, key: str, now: float) -> float | None:
        """Accept or refuse a call. Returns None if it is accepted, otherwise the seconds to wait.

        `now` is monotonic.
        """
        asked = self._asked.setdefault(key, _Log())
        accepted = self._accepted.setdefault(key, _Log())
        asked.forget(now - self.window)
        accepted.forget(now - self.window)
        asked.add(now)
        if self.limit is not None and len(accepted.times) >= self.limit:
            return _wait(accepted, self.window, now)
        accepted.add(now)
        return None

    def change(self, limit: int | None, window: float) -> None:
        """Set another limit. Earlier calls do not count towards it."""
        self.limit = limit
        self.window = window
        self._accepted.clear()
        self._asked.clear()

    def fullest_accepted(self) -> dict[str, int]:
        """Per key, the most calls that were accepted in one window since the last reset."""
        return {key: log.fullest for key, log in self._accepted.items()}

    def fullest_asked(self) -> dict[str, int]:
        """As `fullest_accepted`, but refused calls are counted too."""
        return {key: log.fullest for key, log in self._asked.items()}

    def reset_fullest(self) -> None:
        """Forget the fullest windows, and measure them again from now on. A window that begins
        before the reset still counts its calls from before the reset."""
        for log in (*self._accepted.values(), *self._asked.values()):
            log.fullest = 0


def refusal_headers(
    mode: RetryAfter, *, limit: int, window: float, wait: float, now: float
) -> dict[str, str]:
    """The fields of a 429. `wait` and `window` are in seconds. `now` is Unix time."""
    seconds = max(1, math.ceil(wait))
    return _HEADERS[mode](limit, math.ceil(window), seconds, now)


class _Log:
    __slots__ = ("fullest", "times")

    def __init__(self) -> None:
        self.times: deque[float] = deque()
        self.fullest = 0

    def add(self, now: float) -> None:
        self.times.append(now)
        self.fullest = max(self.fullest, len(self.times))

    def forget(self, until: float) -> None:
        while self.times and self.times[0] <= until:
            self.times.popleft()


def _wait(log: _Log, window: float, now: float) -> float:
    return log.times[0] + window - now if log.times else window


def _legacy(prefix: str, limit: int, seconds: int) -> dict[str, str]:
    return {
        f"{prefix}-Limit": str(limit),
        f"{prefix}-Remaining": "0",
        f"{prefix}-Reset": str(seconds),
    }


def _field(limit: int, window: int, seconds: int) -> dict[str, str]:
    return {
        "RateLimit": f'"default";r=0;t={seconds}',
        "RateLimit-Policy": f'"default";q={limit};w={window}',
    }


_HEADERS: dict[RetryAfter, Callable[[int, int, int, float], dict[str, str]]] = {
    RetryAfter.SECONDS: lambda _l, _w, seconds, _now: {"Retry-After": str(seconds)},
    RetryAfter.HTTP_DATE: lambda _l, _w, seconds, now: {
        "Retry-After": formatdate(math.ceil(now) + seconds, usegmt=True)
    },
    RetryAfter.RATELIMIT_FIELD: lambda limit, window, seconds, _now: _field(limit, window, seconds),
    RetryAfter.RATELIMIT_HEADERS: lambda limit, _w, seconds, _now: _legacy(
        "RateLimit", limit, seconds
    ),
    RetryAfter.X_RATELIMIT: lambda limit, _w, seconds, _now: _legacy("X-RateLimit", limit, seconds),
    RetryAfter.NONE: lambda _l, _w, _s, _now: {},
}
