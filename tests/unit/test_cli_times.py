"""Times, durations and sizes as people write them."""

from __future__ import annotations

import pytest

from gateway.cli.admin import duration, moment, size

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-1.0, "0 s"), (0.0, "0 s"), (0.25, "250 ms"), (1.55, "1.5 s"), (9.99, "9.9 s")),
        *((0.0004, "0 s"), (0.0005, "0 s"), (0.9996, "999 ms")),
        *((10.0, "10 s"), (59.99, "59 s"), (60.0, "1 min"), (247.0, "4 min 7 s")),
        *((3_600.0, "1 h"), (3_605.0, "1 h"), (11_520.0, "3 h 12 min")),
        *((86_400.0, "1 d"), (187_200.0, "2 d 4 h"), (86_405.0, "1 d")),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    """Rounded down, and never `60 s`."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (NOW, "22:13:20 UTC (just now)"),
        (NOW - 247, "22:09:13 UTC (4 min 7 s ago)"),
        (NOW + 12, "22:13:32 UTC (in 12 s)"),
        (NOW - 86_400, "2023-11-13 22:13:20 UTC (1 d ago)"),
    ],
)
def test_a_moment_tells_how_long_ago(at: float, text: str) -> None:
    """The date stands there only where it is another day's."""
    assert moment(at, NOW) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 bytes"), (312, "312 bytes"), (2_150, "2.1 KiB"), (64 * 1024**2, "64 MiB")),
        *((1024**2 - 1, "1 MiB"), (1024**3 - 1, "1 GiB"), (1024**2 - 60, "1023.9 KiB")),
        *((3 * 1024**3, "3 GiB"), (5_000 * 1024**3, "5000 GiB")),
    ],
)
def test_a_size_has_one_unit(count: int, text: str) -> None:
    """Of 1024 each."""
    assert size(count) == text
