"""A page of the list is asked for like any other call, and its items are like single answers."""

from __future__ import annotations

import pytest

from gateway.core.errors import ListRefused, UpstreamFailure
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Circuit, Purpose
from tests.doubles.clock import FakeClock
from tests.unit.flow.house import OURS, says
from tests.unit.flow.sweeping import Catalogue, Swept

DATE = "Tue, 14 Nov 2023 22:00:00 GMT"
STARTED = "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.fixture
def swept(clock: FakeClock) -> Swept:
    """A replica alone, and a list with one training."""
    return Swept(clock, Catalogue("t1"))


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_refusal_is_an_answer(swept: Swept, status: int) -> None:
    """The breaker has no part in it."""
    for _ in range(20):
        swept.replica.upstream.then(says(status))
        with pytest.raises(ListRefused, match=str(status)):
            await swept.pages.read(OURS, 0, Purpose.SWEEP)

    assert swept.replica.outbound.circuit is Circuit.CLOSED


async def test_a_429_closes_the_gate(swept: Swept) -> None:
    """For callers as well."""
    swept.replica.upstream.then(says(429, (b"retry-after", b"30")))

    with pytest.raises(UpstreamFailure):
        await swept.pages.read(OURS, 0, Purpose.SWEEP)

    assert swept.replica.local_budget.view("default").gate_closed_for >= 30.0


async def test_what_cannot_be_read_is_counted_without_our_token(swept: Swept) -> None:
    """An upstream may say back what it was sent."""
    body = b'{"total":1,"offset":0,"has_more":false,"items":[{"id":"t1","updated_at":"our-token"}]}'
    swept.replica.upstream.then(Reply(200, (), body))

    page = (await swept.pages.read(OURS, 0, Purpose.SWEEP)).page

    observer = swept.replica.observer
    assert (page.items, page.rows) == ((), 1)
    assert observer.of("page_read") == [(1,)]
    ((_, name, what),) = observer.of("payload_rejected")
    assert name == "(the list)"
    assert "our-token" not in str(what)


@pytest.mark.parametrize(("date", "told"), [(DATE, DATE), ("today", STARTED)])
async def test_an_item_speaks_for_the_moment_the_page_was_asked_for(
    swept: Swept, date: str, told: str
) -> None:
    """What is no date does not become one."""
    swept.catalogue.date, began = date.encode(), swept.clock.now()
    brought = await swept.pages.read(OURS, 0, Purpose.SWEEP)

    item = swept.pages.listed(brought, brought.page.items[0])

    assert (item.training_id, item.confirmed_at, item.date) == ("t1", began, told)
