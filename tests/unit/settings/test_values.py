"""Durations, sizes, rates and secrets."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import pickle
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.rates import Rate
from gateway.settings.values import (
    LONGEST_DURATION,
    Secret,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_positive_duration,
    parse_rate,
    parse_size,
)

SECONDS = st.floats(min_value=0, max_value=LONGEST_DURATION, allow_nan=False)
# Digits are limited, so a rate's window is written in steps of a nanosecond at the finest.
WINDOWS = st.integers(min_value=1, max_value=10**15).map(lambda nanos: nanos / 10**9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (30, 30.0), (0.25, 0.25), ("30", 30.0), ("30s", 30.0), ("5m", 300.0), ("24h", 86400.0),
        ("250ms", 0.25), ("50ms", 0.05), ("1d", 86400.0), ("1.5s", 1.5), (0, 0.0), ("0s", 0.0),
    ],
)  # fmt: skip
def test_a_duration_is_seconds(text: object, seconds: float) -> None:
    """Numbers and all units, zero included, as exact as the decimal that was written."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "soon", "", " 30s", "30 s", "-1s", -1, "1e3", "1y", "s", "٣s", "1.s", True, None, [30],
        math.nan, math.inf, 10**400, "9" * 18 + "d", "1m30s", "30S",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: object) -> None:
    """Nothing is guessed, and nothing but ValueError comes out."""
    with pytest.raises(ValueError, match=r"^$"):
        parse_duration(text)


def test_zero_is_refused_where_it_makes_no_sense() -> None:
    """A lifetime of nothing is a mistake that deserves its own words."""
    assert parse_positive_duration("1ms") == 0.001
    with pytest.raises(ValueError, match="must be above zero"):
        parse_positive_duration("0s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (-0.0, "0s"), (0.05, "50ms"), (30.0, "30s"), (300.0, "5m"), (86400.0, "24h"),
     (1.5, "1500ms"), (90.0, "90s"), (0.0001, "0.0001s")],
)  # fmt: skip
def test_a_duration_is_shown_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    """As the contract writes its defaults."""
    assert format_duration(seconds) == text


@given(st.integers(0, LONGEST_DURATION * 1000).map(lambda milliseconds: milliseconds / 1000))
def test_a_shown_duration_reads_back(seconds: float) -> None:
    """format_duration and parse_duration are each other's inverse, to the last bit."""
    assert parse_duration(format_duration(seconds)) == seconds


@given(SECONDS)
def test_any_number_of_seconds_is_kept(seconds: float) -> None:
    """A number from a TOML file is the duration."""
    assert parse_duration(seconds) == seconds


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none())
def test_parsers_raise_nothing_but_value_error(value: object) -> None:
    """Whatever stands in the file, the fault can be reported with all the others."""
    for parse in (parse_duration, parse_positive_duration, parse_size, parse_rate):
        with contextlib.suppress(ValueError):
            parse(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [(1, 1), ("1048576", 1048576), ("7B", 7), ("1KiB", 1024), ("64MiB", 64 * 1024**2),
     ("1GiB", 1024**3), ("1kB", 1000), ("1KB", 1000), ("1MB", 10**6), ("2GB", 2 * 10**9)],
)  # fmt: skip
def test_a_size_is_bytes(text: object, size: int) -> None:
    """Binary units are powers of 1024, the others of 1000."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["big", "", "-1", -1, 1.5, "1.5MiB", "64 MiB", "64M", True, None])
def test_what_is_no_size_is_refused(text: object) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"^$"):
        parse_size(text)


@pytest.mark.parametrize("text", [0, "0", "0MiB"])
def test_a_size_of_nothing_is_refused(text: object) -> None:
    """No limit of ours makes sense at zero."""
    with pytest.raises(ValueError, match="must be above zero"):
        parse_size(text)


@given(st.integers(1, 10**17) | st.integers(1, 10**5).map(lambda n: n * 1024**2))
def test_a_shown_size_reads_back(size: int) -> None:
    """format_size and parse_size are each other's inverse."""
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/minute", Rate(100, 60.0)), ("5/second", Rate(5, 1.0)), ("10/6s", Rate(10, 6.0)),
        ("1000/hour", Rate(1000, 3600.0)), ("1/day", Rate(1, 86400.0)), ("3/500ms", Rate(3, 0.5)),
        ("unlimited", None), (Rate(1, 1.0), Rate(1, 1.0)), (None, None),
    ],
)  # fmt: skip
def test_a_rate_is_a_limit_and_a_window(text: object, rate: Rate | None) -> None:
    """Words and durations for the window; None is unlimited."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["often", "", "100", 100, "100/", "/minute", "0/minute", "-1/minute", "1.5/minute", "100/min",
     "100/6", "1/0x", "1/..s", "100 / minute", "Unlimited", True, "9999999999/s"],
)  # fmt: skip
def test_what_is_no_rate_is_refused(text: object) -> None:
    """Nothing is guessed; a window needs its unit."""
    with pytest.raises(ValueError, match=r"^$"):
        parse_rate(text)


@given(st.none() | st.builds(Rate, st.integers(1, 999_999_999), WINDOWS))
def test_a_shown_rate_reads_back(rate: Rate | None) -> None:
    """format_rate and parse_rate are each other's inverse."""
    assert parse_rate(format_rate(rate)) == rate


def test_a_secret_shows_itself_to_nobody() -> None:
    """Not by repr, str, format, nor inside of something else that is printed."""
    secret = Secret("hunter2")

    shown = f"{secret} {secret!r} {secret!s} {secret:>9} {[secret]} {asdict(_Holder(secret))}"

    assert "hunter2" not in shown
    assert "***" in shown
    assert secret.reveal() == "hunter2"


def test_a_secret_is_not_written_by_serialisers() -> None:
    """JSON and pickle refuse it instead of leaking it."""
    with pytest.raises(TypeError):
        json.dumps(Secret("hunter2"))
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hunter2"))


def test_secrets_are_equal_by_their_text() -> None:
    """Settings that hold them can be compared and copied."""
    secret = Secret("hunter2")

    assert secret == Secret("hunter2")
    assert hash(secret) == hash(Secret("hunter2"))
    assert secret not in (Secret("hunter3"), "hunter2")
    assert copy.copy(secret) is copy.deepcopy(secret) is secret


@dataclass(frozen=True, slots=True)
class _Holder:
    secret: Secret
