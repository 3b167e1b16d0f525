"""The closed sets of words."""

from __future__ import annotations

from enum import StrEnum

import pytest

from gateway.settings import words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (words.WritesMode, "deny forward"),
        (words.RateScope, "shared credential"),
        (words.AccessMode, "passthrough clients open"),
        (words.FreshnessSource, "policy origin"),
        (words.NoStore, "respect ignore"),
        (words.ClientDirectives, "limited honour ignore"),
        (words.SweepEnabled, "true false auto"),
        (words.SweepWarm, "before-ready background off"),
        (words.LogFormat, "json console"),
        (words.LogLevel, "debug info warning error"),
    ],
)
def test_the_words_are_those_of_the_contract(words: type[StrEnum], expected: str) -> None:
    """Operators' files hold them, so they do not change."""
    assert " ".join(words) == expected
