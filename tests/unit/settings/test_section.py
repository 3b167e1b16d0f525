"""Tables of settings: what holds for each of them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.settings.section import Section


class _Colours(Section):
    wall: int = 1


def test_a_table_is_frozen_strict_and_closed() -> None:
    """No value changes, none is bent into another type, no name is invented."""
    with pytest.raises(ValidationError):
        _Colours().wall = 2
    with pytest.raises(ValidationError):
        _Colours(wall="2")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        _Colours(floor=2)  # type: ignore[call-arg]
