"""Which budget has which rate."""

from __future__ import annotations

from gateway.core.budget.window_log import OwnRates, Rate

USUAL = Rate(100, 60.0)


def test_a_scope_has_the_usual_rate_unless_it_has_its_own() -> None:
    """A tenant's own may be higher, lower or none at all."""
    rates = OwnRates({"acme": Rate(7, 1.0), "free": None})

    assert rates.of("default", USUAL) == USUAL
    assert rates.of("acme", USUAL) == Rate(7, 1.0)
    assert rates.of("free", USUAL) is None
    assert OwnRates().of("default", None) is None
