from __future__ import annotations

from gateway.core.vocabulary import Part


def test_a_part_is_a_word_of_a_log_field() -> None:
    """`lookup_ms` and its like: no hyphen, no capital."""
    assert all(part.isidentifier() and part == part.lower() for part in Part)
