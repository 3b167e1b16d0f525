"""Invalidations of partitions as they stand in Redis; nothing there can surprise the reader."""

from __future__ import annotations

import math

import pytest

from gateway.adapters.redis.layout.records import micros
from gateway.adapters.redis.store.partition_invalidation import (
    read_invalidated_at,
    without_invalidated,
)
from gateway.ports import Found
from tests.doubles.stored import entry_of


@pytest.mark.parametrize("record", [None, b"", b"17", b"x" * 16, b"-" + b"1" * 15, b"1" * 17])
def test_what_is_no_strike_rules_nothing_out(record: bytes | None) -> None:
    """A genuine record is a time in microseconds."""
    assert read_invalidated_at(record) == -math.inf
    assert read_invalidated_at(micros(1_700_000_000.25).encode()) == 1_700_000_000.25


def test_what_was_fetched_before_a_strike_is_gone() -> None:
    """Also what was fetched at its very moment; what came later is whole."""
    entry = entry_of()

    assert without_invalidated(Found(entry, None), entry.confirmed_at).entry is None
    assert without_invalidated(Found(entry, None), entry.confirmed_at - 1e-6).entry is entry
    assert without_invalidated(Found(None, None), 7.0) == Found(None, None, 7.0)
