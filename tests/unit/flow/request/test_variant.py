"""Whether a request chooses what is stored, or what was fetched."""

from __future__ import annotations

from gateway.core.cache.policy import ByPolicy
from gateway.core.cache.rfc9111 import ByOrigin
from gateway.core.vocabulary import StoreVerdict, Tier
from gateway.flow.cache.tiers import Seen
from gateway.flow.fill.collapse import Elsewhere
from gateway.flow.fill.fetch import Filled, Passed
from gateway.flow.request.response_selection import Ask, chosen, fits
from gateway.ports import Held
from tests.doubles.stored import entry_of
from tests.unit.flow.house import CALLER, KEY, WINDOWS, says

RULES = ByOrigin(WINDOWS, vary=True, is_shared=False)
ENTRY = entry_of().but(selecting=((b"foo", b"=1"),))
HELD = Held(ENTRY, b"", 0, 0.0, is_plain=False)
ONE = Ask(KEY, CALLER, extra=((b"foo", b"1"),))
OTHER = Ask(KEY, CALLER, extra=((b"foo", b"2"),))


def test_what_is_stored_is_chosen_by_its_fields() -> None:
    """To another request it is not there."""
    seen = Seen(HELD, Tier.L1, below_floor=False)

    assert chosen(RULES, ONE, seen) is seen
    assert chosen(RULES, OTHER, seen) is None
    assert chosen(RULES, ONE, None) is None


def test_what_was_fetched_fits_whom_it_would_have_been_given() -> None:
    """Wherever it was fetched; what varies on nothing fits everybody."""
    elsewhere = Elsewhere(Seen(HELD, Tier.L2, below_floor=False), awaited=True)

    assert fits(RULES, ONE, stored(HELD))
    assert not fits(RULES, OTHER, stored(HELD))
    assert not fits(RULES, OTHER, elsewhere)
    assert fits(RULES, OTHER, stored(HELD.but(is_plain=True)))


def test_an_answer_that_is_not_stored_fits_only_the_same_fields() -> None:
    """By the settings it fits every request, as a stored one does."""
    unstored = Filled(HELD.but(is_plain=True), 200, None, None, ONE.extra)

    for landed in (unstored, Passed(says(422), ONE.extra)):
        assert fits(RULES, ONE, landed)
        assert not fits(RULES, OTHER, landed)
        assert fits(ByPolicy(WINDOWS, vary=True), OTHER, landed)


def stored(held: Held) -> Filled:
    """The result of a fetch that was stored."""
    return Filled(held, 200, StoreVerdict.FIRST, None)
