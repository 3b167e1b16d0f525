"""Unconfirmed orders: which of them are sent again after Redis lost its data."""

from __future__ import annotations

from gateway.adapters.redis.bus import Missing, Unconfirmed
from gateway.adapters.redis.membership import Sent
from gateway.core.vocabulary import NoticeKind
from gateway.ports import Notice


def order(number: int, ids: int = 1) -> Notice:
    """An order that can be told from others, about so many trainings."""
    return Notice(NoticeKind.INVALIDATED, tuple(f"trn_{number}_{each}" for each in range(ids)))


def until(seconds: float) -> Missing:
    """One member may serve older entries until then; the order was sent in life 7, as the third
    notice."""
    return Missing(frozenset("b"), seconds, Sent(7, 3))


def lost(unconfirmed: Unconfirmed, life: int, now: float, number: int = 3) -> list[Notice]:
    """The orders alone."""
    return [each for each, _ in unconfirmed.lost(life, number, now)]


def test_an_order_is_sent_again_in_another_life() -> None:
    """Not in the life in which it was sent last."""
    unconfirmed = Unconfirmed()
    unconfirmed.keep(order(1), until(100.0))

    assert lost(unconfirmed, 7, 50.0) == []
    assert lost(unconfirmed, 8, 50.0) == [order(1)]

    unconfirmed.sent(order(1), Sent(8, 1))
    assert lost(unconfirmed, 8, 50.0) == []
    assert lost(unconfirmed, 9, 50.0) == [order(1)]


def test_an_order_is_sent_again_if_its_number_was_lost() -> None:
    """A failover may lose the last notices, and keeps the life."""
    unconfirmed = Unconfirmed()
    unconfirmed.keep(order(1), until(100.0))

    assert lost(unconfirmed, 7, 50.0, number=4) == []
    assert lost(unconfirmed, 7, 50.0, number=2) == [order(1)]

    unconfirmed.sent(order(1), Sent(7, 3))
    assert lost(unconfirmed, 7, 50.0, number=3) == []


def test_an_order_is_forgotten_when_its_time_is_over() -> None:
    """No member may serve older entries from then on."""
    unconfirmed = Unconfirmed()
    unconfirmed.keep(order(1), until(100.0))
    unconfirmed.keep(order(2), until(101.0))

    assert lost(unconfirmed, 8, 100.0) == [order(2)]
    assert lost(unconfirmed, 8, 99.0) == [order(2)]


def test_a_repeated_order_is_one_with_its_later_time() -> None:
    """A sender of events may repeat an order that was not confirmed."""
    unconfirmed = Unconfirmed()
    unconfirmed.keep(order(1), until(100.0))
    unconfirmed.keep(order(1), until(110.0))

    assert lost(unconfirmed, 8, 105.0) == [order(1)]


def test_the_oldest_orders_are_forgotten_first() -> None:
    """Their ids are bounded, so that their memory is."""
    unconfirmed = Unconfirmed()
    for number in range(150):
        unconfirmed.keep(order(number, 1_000), until(100.0))

    assert lost(unconfirmed, 8, 50.0) == [order(number, 1_000) for number in range(51, 150)]


def test_an_order_that_was_forgotten_while_it_was_sent_stays_forgotten() -> None:
    """And it is no error."""
    unconfirmed = Unconfirmed()
    unconfirmed.keep(order(1), until(100.0))
    assert lost(unconfirmed, 8, 100.0) == []

    unconfirmed.sent(order(1), Sent(8, 1))
    assert lost(unconfirmed, 9, 50.0) == []
