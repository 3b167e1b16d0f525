"""Which budget has which rate."""

from __future__ import annotations

from gateway.core.budget.window_log import NEWCOMERS, OwnRates, Rate

USUAL = Rate(100, 60.0)


def test_a_scope_has_the_usual_rate_unless_it_has_its_own() -> None:
    """A tenant's own may be higher, lower or none at all."""
    rates = OwnRates({"acme": Rate(7, 1.0), "free": None})

    assert rates.of("default", USUAL) == USUAL
    assert rates.of("acme", USUAL) == Rate(7, 1.0)
    assert rates.of("free", USUAL) is None
    assert OwnRates().of("default", None) is None


def test_newcomers_share_a_tenth() -> None:
    """At least one call, and no limit only where there is none at all."""
    assert OwnRates().of(NEWCOMERS, USUAL) == Rate(10, 60.0)
    assert OwnRates().of(NEWCOMERS, Rate(5, 1.0)) == Rate(1, 1.0)
    assert OwnRates().of(NEWCOMERS, None) is None


def test_rates_change_while_running() -> None:
    """What is not named any more has the usual one again."""
    rates = OwnRates({"acme": Rate(7, 1.0)})

    rates.replace({"other": Rate(8, 1.0)})

    assert rates.of("acme", USUAL) == USUAL
    assert rates.of("other", USUAL) == Rate(8, 1.0)
