"""Membership: the replicas that are known after Redis lost the members."""

from __future__ import annotations

from gateway.adapters.redis.membership import Remembered


def test_who_is_there_is_known() -> None:
    """And no other replica: one that left within the same life is gone."""
    membership = Remembered()

    assert membership.note(1, {"a": 15.0, "b": 15.0}, 10.0) == {"a": 15.0, "b": 15.0}
    assert membership.note(1, {"a": 16.0}, 11.0) == {"a": 16.0}
    assert membership.lost == {}


def test_who_was_lost_is_known_until_it_cannot_answer_any_more() -> None:
    """Or until it is back."""
    membership = Remembered()
    membership.note(1, {"a": 15.0, "b": 25.0, "c": 25.0}, 10.0)

    assert membership.note(2, {"a": 21.0}, 20.0) == {"a": 21.0, "b": 25.0, "c": 25.0}
    assert membership.note(2, {"a": 21.0, "b": 29.0}, 24.9) == {"a": 21.0, "b": 29.0, "c": 25.0}
    assert membership.note(2, {"a": 21.0, "b": 29.0}, 25.0) == {"a": 21.0, "b": 29.0}
    assert membership.lost == {}


def test_an_older_memory_of_another_replica_does_not_count() -> None:
    """Until the later time is in the list."""
    membership = Remembered()
    membership.note(1, {"a": 30.0, "b": 30.0}, 10.0)

    assert membership.note(2, {"a": 31.0, "b": 12.0}, 11.0) == {"a": 31.0, "b": 30.0}
    assert membership.lost == {"b": 30.0}
    assert membership.note(2, {"a": 31.0, "b": 30.1}, 11.1) == {"a": 31.0, "b": 30.1}
    assert membership.lost == {}


def test_a_second_loss_forgets_nobody() -> None:
    """A replica that was not back between the two losses may still be alive."""
    membership = Remembered()
    membership.note(1, {"a": 30.0, "b": 30.0}, 10.0)
    membership.note(2, {"a": 31.0}, 11.0)

    assert membership.note(3, {"a": 32.0}, 12.0) == {"a": 32.0, "b": 30.0}
