"""What a refusal says about coming back: the header fields of a 429 or a 503, as seconds.

Nothing here decides what follows from it (see `pacing`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.core.instant import parse_http_date

_DECIMAL: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?")
_QUOTED: Final = re.compile(r'"[^"]*"')
_PARAMETER: Final = re.compile(r"([a-z]+) *= *([0-9]{1,15})(?![0-9])")
_RESET_HEADERS: Final = ("ratelimit", "x-ratelimit")

# A reset this large is no number of seconds to wait but a date: 2001 in seconds, 1973 in
# milliseconds.
_EPOCH_SECONDS: Final = 1e9
_EPOCH_MILLISECONDS: Final = 1e11


def parse_retry_after(value: str | None, date_now: float) -> float | None:
    """Seconds from a Retry-After in either form (RFC 9110, 10.2.3), never negative, or None.

    `date_now` is the clock that an HTTP-date is read against, in epoch seconds.
    """
    if value is None:
        return None
    seconds = _decimal(value)
    if seconds is None:
        date = parse_http_date(value)
        seconds = None if date is None else date - date_now
    return None if seconds is None else max(0.0, seconds)


def retry_hint(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until upstream wants to be asked again, by whichever header says so, or None.

    `headers` by lower-case name; `now` in epoch seconds. In order: Retry-After, RateLimit (the
    structured field and the drafts before it), RateLimit-*, X-RateLimit-*; those speak only
    when nothing remains. Dates are read against the answer's own Date: clocks differ.
    """
    date = parse_http_date(headers.get("date", ""))
    clock = now if date is None else date
    hint = parse_retry_after(headers.get("retry-after"), clock)
    if hint is None:
        hint = _exhausted_policy(headers.get("ratelimit", ""))
    for prefix in _RESET_HEADERS:
        if hint is None and _decimal(headers.get(f"{prefix}-remaining", "")) == 0:
            hint = _until_reset(headers.get(f"{prefix}-reset", ""), clock)
    return hint


def _exhausted_policy(value: str) -> float | None:
    """Seconds until the last of the exhausted policies of a RateLimit field is reset."""
    bare = _QUOTED.sub("", value.lower())
    policies = [dict(_PARAMETER.findall(policy)) for policy in bare.split(",")]
    waits = [policy["t"] for policy in policies if policy.get("r") == "0" and "t" in policy]
    draft = dict(_PARAMETER.findall(bare))
    if draft.get("remaining") == "0" and "reset" in draft:
        waits.append(draft["reset"])
    return max(map(float, waits), default=None)


def _until_reset(value: str, clock: float) -> float | None:
    """Seconds until a reset that is given in seconds from now, epoch seconds or milliseconds."""
    reset = _decimal(value)
    if reset is None:
        return None
    if reset >= _EPOCH_MILLISECONDS:
        reset = reset / 1000.0 - clock
    elif reset >= _EPOCH_SECONDS:
        reset -= clock
    return max(0.0, reset)


def _decimal(value: str) -> float | None:
    """The number that the text is, or None."""
    bare = value.strip(" \t")
    return float(bare) if _DECIMAL.fullmatch(bare) else None
