"""Readers: with whose own token the list is read."""

from __future__ import annotations

import pytest

from gateway.core.access.caller import Passthrough
from gateway.core.access.registry import Admitted, Callers
from gateway.flow.fill.credentials import Credentials
from gateway.flow.sweep.readers import Readers
from tests.doubles.clock import FakeClock


class Stage:
    """Callers with tokens of their own."""

    def __init__(self, most: int = 1) -> None:
        self.clock = FakeClock()
        self.callers = Callers(Passthrough("https://api", None, budget_per_credential=False))
        self.credentials = Credentials(self.clock)
        self.readers = Readers(
            self.callers.admitted, self.credentials, self.clock, most=most, pause_after=300.0
        )

    def read(self, token: str, times: int = 1) -> Admitted:
        """So many requests with this token."""
        for _ in range(times):
            admitted = self.callers.admit((b"Bearer " + token.encode(),))
        return admitted

    def answer(self, token: str, status: int) -> None:
        """The API answers a call with this token."""
        caller = self.read(token, 1).caller
        self.credentials.judged(caller, status, self.clock.monotonic())

    def tokens(self) -> list[str]:
        """The tokens that read the list now."""
        return [each.token for each in self.readers.chosen().values()]


def test_a_token_reads_the_list_once_the_api_has_accepted_it() -> None:
    """Not before, and not after a refusal."""
    stage = Stage()
    stage.read("a", 9)
    assert stage.tokens() == []
    stage.answer("a", 403)
    assert stage.tokens() == []
    stage.answer("a", 404)
    assert stage.tokens() == ["a"]

    stage.answer("a", 401)

    assert stage.tokens() == []


def test_a_token_to_which_the_list_was_refused_never_reads_it_again() -> None:
    """Single answers may still be allowed to it."""
    stage = Stage()
    stage.answer("a", 200)
    stage.credentials.bar(stage.read("a").partition)
    stage.answer("a", 200)

    assert stage.tokens() == []


def test_it_ends_five_minutes_after_the_last_read() -> None:
    """And begins with the next one."""
    stage = Stage()
    stage.answer("a", 200)
    assert stage.tokens() == ["a"]
    stage.clock.advance(299.0)
    assert stage.tokens() == ["a"]

    stage.clock.advance(2.0)

    assert stage.tokens() == []
    stage.read("a")
    assert stage.tokens() == ["a"]


@pytest.mark.parametrize(("most", "expected"), [(0, []), (1, ["b"]), (2, ["a", "b"])])
def test_those_that_are_read_most_come_first(most: int, expected: list[str]) -> None:
    """As many as the setting says; a little more is no reason to change."""
    stage = Stage(most)
    for token, times in (("a", 5), ("b", 50), ("c", 1)):
        stage.answer(token, 200)
        stage.read(token, times)

    assert sorted(stage.tokens()) == expected
    stage.read("a", 60)
    assert sorted(stage.tokens()) == expected
    stage.read("a", 200)
    assert len(stage.tokens()) == most
    assert "a" in stage.tokens() or most == 0
