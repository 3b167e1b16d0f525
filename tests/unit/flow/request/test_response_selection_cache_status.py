from __future__ import annotations

import pytest

from gateway.core.http.cache_status import Handling
from gateway.core.vocabulary import Detail, Forward, NotStoredReason, Outcome, StoreVerdict, Tier
from gateway.flow.fill.fetch import Filled
from gateway.flow.request.response_selection import detail_of, handling_of, outcome_of
from tests.doubles.stored import entry_of, held_of

HELD = held_of(entry_of())


@pytest.mark.parametrize(
    ("verdict", "detail"),
    [
        (StoreVerdict.CHANGED, Detail.CHANGED),
        (StoreVerdict.UNCHANGED, Detail.UNCHANGED),
        (StoreVerdict.FIRST, None),
        (None, None),
    ],
)
def test_a_revalidation_says_what_it_showed(
    verdict: StoreVerdict | None, detail: Detail | None
) -> None:
    """A miss does not: there was nothing to compare with."""
    filled = Filled(HELD, 200, verdict, None)

    assert handling_of(filled, Forward.STALE, collapsed=False).detail is detail
    assert handling_of(filled, Forward.URI_MISS, collapsed=False).detail is None


def test_what_was_not_stored_says_why() -> None:
    """And no more that it was."""
    filled = Filled(HELD, 200, None, NotStoredReason.NO_STORE)

    handling = handling_of(filled, Forward.URI_MISS, collapsed=True)

    assert handling == Handling(
        None, Forward.URI_MISS, 200, not_stored=NotStoredReason.NO_STORE, collapsed=True
    )


@pytest.mark.parametrize(
    ("handling", "outcome"),
    [
        (Handling(Detail.UNCHANGED, Forward.STALE, 304, stored=True), Outcome.REVALIDATED),
        (Handling(Detail.CHANGED, Forward.STALE, 200, stored=True), Outcome.FILLED),
        (Handling(None, Forward.URI_MISS, 200, stored=True), Outcome.FILLED),
        (Handling(Detail.UNCHANGED, Forward.STALE, 304, collapsed=True), Outcome.COLLAPSED),
    ],
)
def test_an_outcome_follows_from_the_handling(handling: Handling, outcome: Outcome) -> None:
    """Whoever joined is collapsed, whatever the fetch brought."""
    assert outcome_of(handling) is outcome


def test_a_hit_says_its_tier() -> None:
    """In Cache-Status as in the metrics."""
    assert (detail_of(Tier.L1), detail_of(Tier.L2)) == (Detail.L1, Detail.L2)
