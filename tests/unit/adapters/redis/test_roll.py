"""roll: who is waited for after Redis lost the roll."""

from __future__ import annotations

from gateway.adapters.redis.roll import Remembered

PATIENCE = 5.0


def test_who_is_there_is_waited_for() -> None:
    """Nobody else: who left the same roll is gone."""
    roll = Remembered(PATIENCE)

    assert roll.read(1, frozenset("ab"), 10.0) == frozenset("ab")
    assert roll.read(1, frozenset("a"), 11.0) == frozenset("a")


def test_who_was_on_a_lost_roll_is_waited_for() -> None:
    """Until all who live have had the time to be on the next one."""
    roll = Remembered(PATIENCE)
    roll.read(1, frozenset("abc"), 10.0)

    assert roll.read(2, frozenset("a"), 20.0) == frozenset("abc")
    assert roll.read(2, frozenset("ab"), 24.9) == frozenset("abc")
    assert roll.read(2, frozenset("ab"), 25.0) == frozenset("ab")


def test_a_second_loss_takes_nobody_off() -> None:
    """Who was not back between the two may live all the same."""
    roll = Remembered(PATIENCE)
    roll.read(1, frozenset("abc"), 10.0)
    roll.read(2, frozenset("a"), 11.0)

    assert roll.read(3, frozenset("a"), 12.0) == frozenset("abc")
    assert roll.read(3, frozenset("a"), 16.9) == frozenset("abc")
    assert roll.read(3, frozenset("a"), 17.0) == frozenset("a")
