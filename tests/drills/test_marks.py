"""A long search for a history that breaks a promise of the rules of marks."""

from __future__ import annotations

from tests.model.marks.history import failure, make

HISTORIES = 30_000


def test_thousands_of_histories_keep_all_promises() -> None:
    """What is found is told in numbered steps by `python -m tests.model.marks --seed drill`."""
    for number in range(1, HISTORIES + 1):
        assert failure(list(make(f"drill/{number}"))) is None, number
