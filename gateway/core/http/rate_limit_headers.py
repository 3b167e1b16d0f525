"""Reads from responses how many seconds to wait before the upstream may be asked again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.core.instant import parse_http_date

_DECIMAL: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?")
_QUOTED: Final = re.compile(r'"[^"]*"')
_PARAMETER: Final = re.compile(r"(?<![a-z])([a-z]+) *= *([0-9]{1,15})(?![0-9])")
_PREFIXES: Final = ("ratelimit", "x-ratelimit")

# The value of a reset field is a number of seconds to wait, or a date. A value of 1e9 or more is a
# date in seconds since 1970 (1e9 is in the year 2001). A value of 1e11 or more is a date in
# milliseconds.
_EPOCH_SECONDS: Final = 1e9
_EPOCH_MILLISECONDS: Final = 1e11


def parse_retry_after(value: str | None, date_now: float) -> float | None:
    """The seconds that a Retry-After states (RFC 9110, 10.2.3), never negative. None if it is
    absent or invalid. `date_now`: the time (epoch seconds) from which an HTTP-date is counted."""
    if value is None:
        return None
    seconds = _decimal(value)
    if seconds is None:
        date = parse_http_date(value)
        seconds = None if date is None else date - date_now
    return None if seconds is None else max(0.0, seconds)


def retry_hint(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the upstream may be asked again, or None if no field says so.

    `headers` by lower-case name, `now` in epoch seconds. RateLimit (also in its earlier drafts) and
    X-RateLimit count only if no call remains. The upstream's clock can differ from the gateway's,
    so dates are compared with the `Date` of the response.
    """
    date = parse_http_date(headers.get("date", ""))
    clock = now if date is None else date
    hint = parse_retry_after(headers.get("retry-after"), clock)
    if hint is None:
        hint = _exhausted_policy(headers.get("ratelimit", ""))
    for prefix in _PREFIXES:
        if hint is None and _decimal(headers.get(f"{prefix}-remaining", "")) == 0:
            hint = _until_reset(headers.get(f"{prefix}-reset", ""), clock)
    return hint


def _exhausted_policy(value: str) -> float | None:
    """Seconds until all exhausted policies of a RateLimit field are reset, or None."""
    bare = _QUOTED.sub("", value.lower())
    policies = [dict(_PARAMETER.findall(policy)) for policy in bare.split(",")]
    waits = [policy["t"] for policy in policies if policy.get("r") == "0" and "t" in policy]
    draft = dict(_PARAMETER.findall(bare))
    if draft.get("remaining") == "0" and "reset" in draft:
        waits.append(draft["reset"])
    return max(map(float, waits), default=None)


def _until_reset(value: str, clock: float) -> float | None:
    reset = _decimal(value)
    if reset is None:
        return None
    if reset >= _EPOCH_MILLISECONDS:
        reset = reset / 1000.0 - clock
    elif reset >= _EPOCH_SECONDS:
        reset -= clock
    return max(0.0, reset)


def _decimal(value: str) -> float | None:
    bare = value.strip(" \t")
    return float(bare) if _DECIMAL.fullmatch(bare) else None
