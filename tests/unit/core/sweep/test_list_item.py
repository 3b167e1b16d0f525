"""listed: an item's version and times."""

from __future__ import annotations

import pytest

from gateway.core.cache.policy import Windows
from gateway.core.http.fields import Reply
from gateway.core.sweep.list_item import listed
from gateway.core.upstream.training import Training
from tests.doubles.stored import VERSION

AT = 1_700_000_100.0
BODY = b'{"id": "trn_1"}'
TRAINING = Training("trn_1", VERSION, "", BODY)
DATE = "Tue, 14 Nov 2023 22:15:00 GMT"


def reply(*headers: tuple[bytes, bytes]) -> Reply:
    """A page with these fields."""
    return Reply(200, headers, b"")


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_it_is_fresh_from_the_moment_the_page_was_asked_for(jitter: float) -> None:
    """For the lifetime that a single answer would have, jittered downwards alike."""
    item = listed(TRAINING, reply(), AT, Windows(lifetime=20.0), jitter)

    assert (item.training_id, item.updated_at, item.confirmed_at) == ("trn_1", VERSION, AT)
    assert item.freshness_lifetime == pytest.approx(20.0 * (1 - 0.1 * jitter))


def test_its_date_is_the_pages_or_that_moment() -> None:
    """What is no date does not become one."""
    assert listed(TRAINING, reply((b"date", DATE.encode())), AT, Windows(), 0.0).date == DATE
    assert listed(TRAINING, reply((b"date", b"today")), AT, Windows(), 0.0).date == DATE
