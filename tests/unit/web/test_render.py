"""An answer becomes status, fields and body."""

from __future__ import annotations

import pytest

from gateway.core.cache.content_coding import NO_TRANSFORM
from gateway.core.cache.entry_headers import Conditions
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Headers, Reply
from gateway.core.vocabulary import Detail, Forward, NotStoredReason, Outcome, Tier
from gateway.flow.request.response_selection import Answer
from gateway.web.render import Rendered, render
from tests.doubles.stored import START, entry_of, held_of

NOW = START.started
HIT = Handling(Detail.L1)
NO_CONDITION = Conditions()
CONDITION = Conditions(if_none_match=b"*")


def rendered(
    handling: Handling = HIT,
    *,
    later: float = 0.0,
    conditions: Conditions = NO_CONDITION,
    initial_age: float = 0.0,
    missing: bool = False,
    theirs: Headers = (),
) -> Rendered:
    """A stored answer, rendered so many seconds after its fetch began."""
    entry = entry_of(updated_at=None) if missing else entry_of()
    held = held_of(entry.but(initial_age=initial_age, headers=(*entry.headers, *theirs)))
    answer = Answer(held, Outcome.FRESH, Tier.L1, handling)
    return render(answer, conditions, b"r-1", NOW + later)


def fields(headers: Headers, name: bytes) -> list[bytes]:
    """All values under a name."""
    return [value for key, value in headers if key == name]


def test_an_entry_is_its_head_its_body_and_the_moment() -> None:
    """Status and bytes as stored; Age, Cache-Status and X-Request-ID are of now."""
    answer = rendered(later=12.75)

    assert (answer.status, answer.body) == (200, entry_of().body)
    assert fields(answer.headers, b"x-cluster") == [b"eu-1"]
    assert fields(answer.headers, b"age") == [b"12"]
    assert fields(answer.headers, b"x-request-id") == [b"r-1"]
    assert fields(answer.headers, b"cache-status") == [b"gateway; hit; ttl=17; detail=l1"]
    assert answer.age == 12.75


def test_age_counts_what_upstream_reported() -> None:
    """An answer that was old when it came is so much older (RFC 9111, 4.2.3)."""
    assert fields(rendered(initial_age=5.0, later=2.0).headers, b"age") == [b"7"]


def test_age_is_never_negative() -> None:
    """Clocks of two replicas differ a little; the header cannot say so."""
    answer = rendered(later=-0.5)

    assert fields(answer.headers, b"age") == [b"0"]
    assert answer.age == 0.0


@pytest.mark.parametrize("conditions", [NO_CONDITION, CONDITION])
@pytest.mark.parametrize("forward", [None, Forward.STALE])
def test_an_answer_that_was_ruled_out_is_stale_in_every_field(
    conditions: Conditions, forward: Forward | None
) -> None:
    """Whatever is left of its lifetime, and also in a 304: no `ttl` that says fresh, and no
    lifetime; but for how long it was stale, once it is told."""
    handling = Handling(Detail.STALE_ERROR, forward, outdated=True)

    young = rendered(handling, later=5.0, conditions=conditions)
    old = rendered(handling, later=40.0, conditions=conditions)

    for answer in (young, old):
        assert fields(answer.headers, b"cache-control") == [b"private, max-age=0"]
        assert len(fields(answer.headers, b"etag")) == 1
    assert fields(young.headers, b"age") == [b"5"]
    assert b"ttl" not in fields(young.headers, b"cache-status")[0]
    assert b"ttl=-10;" in fields(old.headers, b"cache-status")[0]


def test_no_transform_is_also_said_of_an_answer_that_was_ruled_out() -> None:
    """Its bytes are the upstream's too (RFC 9111, 5.2.2.6)."""
    handling = Handling(Detail.STALE_ERROR, outdated=True)

    answer = rendered(handling, theirs=(NO_TRANSFORM,))

    assert fields(answer.headers, b"cache-control") == [b"private, max-age=0, no-transform"]


def test_a_stale_answer_tells_for_how_long() -> None:
    """A negative ttl, rounded away from zero."""
    (said,) = fields(rendered(Handling(Detail.STALE_ERROR), later=30.5).headers, b"cache-status")

    assert said == b"gateway; hit; ttl=-1; detail=stale-error"


def test_what_was_not_stored_is_not_to_be_stored() -> None:
    """One Cache-Control, and it says no-store."""
    handling = Handling(None, Forward.URI_MISS, 200, not_stored=NotStoredReason.NO_STORE)

    answer = rendered(handling)

    assert fields(answer.headers, b"cache-control") == [b"no-store"]
    assert fields(answer.headers, b"cache-status") == [
        b"gateway; fwd=uri-miss; fwd-status=200; detail=not-stored-no-store"
    ]


def test_a_condition_that_holds_leaves_the_body_out() -> None:
    """304 with the validators and the moment, without what describes a body."""
    answer = rendered(conditions=CONDITION, later=3.0)

    names = {key for key, _ in answer.headers}
    assert (answer.status, answer.body, answer.age) == (304, b"", 3.0)
    assert {b"etag", b"cache-control", b"age", b"cache-status", b"x-request-id"} <= names
    assert not {b"content-type", b"x-cluster"} & names


def test_what_is_missing_is_never_not_modified() -> None:
    """A remembered 404 stays a 404, whatever the caller holds (RFC 9110, 13.2.1)."""
    assert rendered(conditions=CONDITION, missing=True).status == 404


@pytest.mark.parametrize("conditions", [NO_CONDITION, CONDITION])
def test_the_upstreams_own_word_passes(conditions: Conditions) -> None:
    """Status, bytes, Date and end-to-end fields; no validator, no age, not to be stored."""
    theirs = (
        (b"content-type", b"application/json"),
        (b"date", b"Tue, 14 Nov 2023 22:13:00 GMT"),
        (b"etag", b'"e"'),
        (b"last-modified", b"Tue, 14 Nov 2023 22:13:00 GMT"),
        (b"cache-control", b"public, max-age=60"),
        (b"connection", b"x-hop"),
        (b"x-hop", b"1"),
        (b"x-why", b"because"),
        (b"content-length", b"99"),
    )
    reply = Reply(403, theirs, b"{}")
    handling = Handling(None, Forward.URI_MISS, 403)

    answer = render(
        Answer(reply, Outcome.REJECTED, Tier.UPSTREAM, handling), conditions, b"r-1", NOW
    )

    assert (answer.status, answer.body, answer.age) == (403, b"{}", None)
    assert sorted(answer.headers) == [
        (b"cache-control", b"no-store"),
        (b"cache-status", b"gateway; fwd=uri-miss; fwd-status=403"),
        (b"content-length", b"2"),
        (b"content-type", b"application/json"),
        (b"date", b"Tue, 14 Nov 2023 22:13:00 GMT"),
        (b"x-request-id", b"r-1"),
        (b"x-why", b"because"),
    ]


def test_a_reply_without_a_date_gets_none() -> None:
    """We do not say when somebody else spoke."""
    answer = Answer(Reply(400, (), b"{}"), Outcome.REJECTED, Tier.UPSTREAM, Handling())

    assert fields(render(answer, NO_CONDITION, b"r-1", NOW).headers, b"date") == []
