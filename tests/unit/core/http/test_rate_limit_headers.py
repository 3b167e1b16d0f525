"""Hints: every header that tells when to come back, and every garbage in its place."""

from __future__ import annotations

import time

import pytest

from gateway.core.http.rate_limit_headers import parse_retry_after, retry_hint

EPOCH_NOW = 1_750_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("-7", 0.0),
        ("Sun, 15 Jun 2025 15:07:10 GMT", 30.0),
        ("Sun Jun 15 15:07:10 2025", 30.0),
        ("Sun, 15 Jun 2025 15:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("1e3", None),
        ("nan", None),
        ("3٣", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_has_two_forms(value: str | None, seconds: float | None) -> None:
    """Seconds or a date, what lies in the past is now, and garbage is nothing."""
    assert parse_retry_after(value, EPOCH_NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "5", "ratelimit": '"default";r=0;t=60'}, 5.0),
        ({"retry-after": "soon", "ratelimit": '"default";r=0;t=60'}, 60.0),
        ({"ratelimit": '"default";r=3;t=60'}, None),
        ({"ratelimit": '"default";r=0'}, None),
        ({"ratelimit": '"burst";r=0;t=2, "day";r=0;t=900, "hour";r=7;t=1800'}, 900.0),
        ({"ratelimit": '"r=0;t=9,";r=1;t=60'}, None),
        ({"ratelimit": '"default"; r=0; t=60'}, 60.0),
        ({"ratelimit": "limit=100, remaining=0, reset=30"}, 30.0),
        ({"ratelimit": "limit=100, remaining=1, reset=30"}, None),
        ({"ratelimit": "limit=100, remaining=0"}, None),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "12"}, 12.0),
        ({"ratelimit-remaining": "2", "ratelimit-reset": "12"}, None),
        ({"ratelimit-reset": "12"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1750000012"}, 12.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1750000012500"}, 12.5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1740000000"}, 0.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "tomorrow"}, None),
        ({"x-ratelimit-remaining": "0"}, None),
        (
            {
                "ratelimit-remaining": "0",
                "ratelimit-reset": "12",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "99",
            },
            12.0,
        ),
        (
            {"ratelimit": '"a";r=0;t=60', "ratelimit-remaining": "0", "ratelimit-reset": "12"},
            60.0,
        ),
    ],
)
def test_a_hint_is_found_wherever_it_is(headers: dict[str, str], seconds: float | None) -> None:
    """The first header that says when counts; the others speak only when nothing remains."""
    assert retry_hint(headers, EPOCH_NOW) == seconds


def test_dates_are_read_against_upstreams_own_clock() -> None:
    """A gateway whose clock is an hour off still waits as long as was meant."""
    date = "Sun, 15 Jun 2025 15:06:40 GMT"
    headers = {"date": date, "retry-after": "Sun, 15 Jun 2025 15:07:10 GMT"}
    assert retry_hint(headers, EPOCH_NOW + 3600) == 30.0


@pytest.mark.parametrize("piece", ["a", "a ", "a=", "a =", "r=0", " ", '"', '"a', "1", "r=0;t=1,"])
def test_a_long_field_is_read_in_linear_time(piece: str) -> None:
    """Sixteen kilobytes of it: a few milliseconds, not seconds."""
    value = piece * (16_384 // len(piece))
    began = time.thread_time()  # only the CPU of this thread: others may use the cores

    for name in ("retry-after", "ratelimit", "ratelimit-remaining"):
        retry_hint({name: value}, EPOCH_NOW)

    assert time.thread_time() - began < 0.3
