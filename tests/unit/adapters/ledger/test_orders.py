"""orders: what outlives the floors of a training."""

from __future__ import annotations

from gateway.adapters.ledger.floors import Orders
from tests.doubles.stored import version


def test_the_latest_of_each_kind_counts() -> None:
    """An earlier bound does not lower a later one, and a clock set back takes nothing back."""
    orders = Orders()
    for updated_at, now in ((None, 7.0), (version(5), 8.0), (version(3), 6.0), (None, 5.0)):
        orders.add(updated_at, now)

    assert orders == Orders(struck_at=8.0, bound=version(5))
