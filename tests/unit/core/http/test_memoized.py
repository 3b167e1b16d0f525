"""What is remembered of field values: short ones, and of the long ones the last."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import pytest

from gateway.core.cache.content_coding import takes_gzip
from gateway.core.http.cache_control import directives_of, request_directives_of, targeted
from gateway.core.http.memoized import memoized
from gateway.core.instant import parse_http_date
from gateway.web.wire.request_head import is_host

T = TypeVar("T")


@pytest.mark.parametrize(
    "read", [directives_of, request_directives_of, targeted, takes_gzip, is_host]
)
def test_of_long_values_only_the_last_is_held(read: Callable[[bytes], object]) -> None:
    """Callers choose them before they are known, so a table of them would hold megabytes."""
    _check_held(read, [b"%d, no-cache, gzip" % each + b" " * 300 for each in range(20)])


def test_of_long_dates_none_is_held() -> None:
    """Such a text is no date."""
    _check_held(parse_http_date, [f"{each} GMT{' ' * 300}GMT" for each in range(20)])


def _check_held(read: Callable[[T], object], values: list[T]) -> None:
    alone = [sys.getrefcount(each) for each in values]

    for value in values:
        read(value)

    assert [sys.getrefcount(each) for each in values][:-1] == alone[:-1]


def test_results_are_the_same_and_made_once() -> None:
    """A short value at any time, the last long value until another one."""
    asked: list[bytes | None] = []

    @memoized(4)
    def length(value: bytes | None) -> int:
        asked.append(value)
        return -1 if value is None else len(value)

    long, longer = b"x" * 257, b"x" * 16_384
    results = [length(each) for each in (None, b"a", long, long, longer, b"a", None, longer, long)]

    assert results == [-1, 1, 257, 257, 16_384, 1, -1, 16_384, 257]
    assert asked == [None, b"a", long, longer, long]
