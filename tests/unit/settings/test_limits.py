"""The bounds of connections; that they hold is asked in tests/integration/test_wire_limits.py."""

from __future__ import annotations

import pytest

from gateway.settings import LimitsSettings
from tests.unit.settings.asking import complaints, from_variables


def test_the_defaults() -> None:
    """As docs/settings.md and `config/gateway.toml` say."""
    assert LimitsSettings() == LimitsSettings(
        max_head=16_384,
        max_fields=100,
        max_connections=10_000,
        head_timeout=10.0,
        write_timeout=30.0,
        idle_timeout=75.0,
    )


def test_each_bound_is_read() -> None:
    """Sizes, numbers and durations."""
    limits = from_variables(
        limits__max_head="1KiB", limits__max_fields="7", limits__idle_timeout="1m"
    ).limits

    assert (limits.max_head, limits.max_fields, limits.idle_timeout) == (1_024, 7, 60.0)


@pytest.mark.parametrize("name", sorted(LimitsSettings.model_fields))
def test_no_bound_is_nothing(name: str) -> None:
    """A bound of zero would let nobody in, and is never meant."""
    (told,) = complaints(**{f"limits__{name}": "0"})

    assert told.startswith(f"limits.{name}: ")
