"""orders: what is left of them where a floor is lost."""

from __future__ import annotations

import math

from gateway.adapters.ledger.orders import Orders
from gateway.core.entry import Floor
from tests.doubles.stored import version


def test_none_rules_out_nothing() -> None:
    """Whatever its time."""
    found = Orders().found(-math.inf)

    assert found.floor == Floor("", 0, None, "", 0.0)
    assert found.struck_at == -math.inf


def test_the_latest_of_each_kind_counts() -> None:
    """An earlier bound does not lower a later one, and a clock set back takes nothing back."""
    orders = Orders()
    for updated_at, now in ((None, 7.0), (version(5), 8.0), (version(3), 6.0), (None, 5.0)):
        orders.add(updated_at, now)

    found = orders.found(1.0)

    assert found.entry is None
    assert found.floor == Floor("", 0, version(5), "", 8.0)
    assert found.struck_at == 7.0
    assert orders.found(9.0).struck_at == 9.0
