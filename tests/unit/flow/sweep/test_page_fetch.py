"""listing: one page of the list, asked for like any other call."""

from __future__ import annotations

import pytest

from gateway.core.errors import ListRefused, UpstreamFailure
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Circuit, Purpose
from gateway.flow.sweep.sweep import Listing
from tests.unit.flow.house import OURS, Replica, says


def listing(replica: Replica) -> Listing:
    """The way to its pages."""
    return Listing(replica.outbound, replica.clock, replica.observer, timeout=10.0)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_refusal_is_an_answer(alone: Replica, status: int) -> None:
    """The breaker has no part in it."""
    for _ in range(20):
        alone.upstream.then(says(status))
        with pytest.raises(ListRefused, match=str(status)):
            await listing(alone).page(OURS, 0, Purpose.SWEEP)

    assert alone.outbound.circuit is Circuit.CLOSED


async def test_a_429_closes_the_gate(alone: Replica) -> None:
    """For callers as well."""
    alone.upstream.then(says(429, (b"retry-after", b"30")))

    with pytest.raises(UpstreamFailure):
        await listing(alone).page(OURS, 0, Purpose.SWEEP)

    assert alone.local_budget.view("default").gate_closed_for >= 30.0


async def test_what_cannot_be_read_is_counted_without_our_token(alone: Replica) -> None:
    """An upstream may say back what it was sent."""
    body = b'{"total":1,"offset":0,"has_more":false,"items":[{"id":"t1","updated_at":"our-token"}]}'
    alone.upstream.then(Reply(200, (), body))

    _, page = await listing(alone).page(OURS, 0, Purpose.SWEEP)

    assert (page.items, page.rows) == ((), 1)
    assert alone.observer.of("page_read") == [(1,)]
    ((_, name, what),) = alone.observer.of("payload_rejected")
    assert name == "(the list)"
    assert "our-token" not in str(what)
