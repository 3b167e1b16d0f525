"""The rules of `freshness.source = "policy"`: the judgements of policy, behind one value."""

from __future__ import annotations

import pytest

from gateway.core.cache.entry import Ticket
from gateway.core.cache.policy import ByPolicy, Plan, Windows, admit
from gateway.core.http.fields import Reply
from gateway.core.upstream.classification import Question
from gateway.core.upstream.training import Training, parse
from gateway.core.vocabulary import NotStoredReason

BODY = (
    b'{"id": "t1", "title": "T", "content": "C", "draft_title": null, "draft_content": null, '
    b'"type": "BEHAVIORAL", "is_draft": false, "directory_id": null, "restricted_to_channels": [], '
    b'"restricted_to_segments": [], "current_version": 1, "published_at": null, '
    b'"created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z"}'
)
SAID = ((b"cache-control", b"no-store, max-age=1"), (b"vary", b"foo"))
TICKET = Ticket("epoch", 1, 1_700_000_000.0)
RULES = ByPolicy(Windows(), vary=True)


def test_our_numbers_decide_whatever_the_upstream_says() -> None:
    """But for `no-store`: its lifetime and its `Vary` are not heard."""
    reply = Reply(200, SAID, BODY)
    training = RULES.judge(reply, Question("t1", False, True), TICKET.started)
    assert isinstance(training, Training)

    entry = RULES.admit(reply, training, TICKET, ((b"foo", b"1"),), 0.0)

    assert entry == admit(reply, training, TICKET, Windows(), 0.0)
    assert entry.selecting == ()
    assert RULES.selects(entry, ((b"foo", b"2"),))
    assert RULES.why_not_stored(entry, reply) is NotStoredReason.NO_STORE
    assert RULES.plan(entry, TICKET.started + 29.0) is Plan.SERVE
    assert RULES.plan(entry, TICKET.started + 31.0) is Plan.SERVE_AND_REFRESH
    assert RULES.plan(entry, TICKET.started, below_floor=True) is Plan.FETCH
    assert RULES.may_rescue(entry, TICKET.started + 301.0)


@pytest.mark.parametrize("status", [200, 404])
def test_a_training_is_asked_again_a_lifetime_after_the_last_answer(status: int) -> None:
    """However old the answer was on arrival; then its age decides as always."""
    reply = Reply(status, ((b"age", b"100000"),), BODY)
    training = parse(BODY, "t1") if status == 200 else None
    entry = RULES.admit(reply, training, TICKET, (), 0.0)
    lifetime = entry.freshness_lifetime

    assert entry.age(TICKET.started) == 100_000.0
    assert RULES.plan(entry, TICKET.started) is Plan.SERVE_STALE
    assert RULES.plan(entry, TICKET.started + lifetime - 0.25) is Plan.SERVE_STALE
    assert RULES.plan(entry, TICKET.started + lifetime) is Plan.FETCH
    assert RULES.plan(entry, TICKET.started, below_floor=True) is Plan.FETCH
    assert RULES.plan(entry, TICKET.started - 2.0) is Plan.FETCH
    assert RULES.may_rescue(entry, TICKET.started) is (status == 200)
    assert not RULES.may_rescue(entry, TICKET.started + lifetime)


def test_a_304_renews_for_our_lifetime() -> None:
    """From when the call for it was sent."""
    reply = Reply(200, (), BODY)
    entry = RULES.admit(reply, None, TICKET, (), 0.0)
    later = Ticket("epoch", 1, TICKET.started + 40.0)

    renewed = RULES.renew(entry, Reply(304, SAID, b""), later, (), 0.0)

    assert (renewed.confirmed_at, renewed.freshness_lifetime) == (later.started, 30.0)


def test_what_passes_is_left_as_it_is() -> None:
    """What it says of caching is taken from it where it is rendered."""
    reply = Reply(400, SAID, b"{}")

    assert RULES.passing(reply) is reply
    assert not RULES.is_verbatim


def test_the_head_says_our_lifetime() -> None:
    """Not the upstream's."""
    lines, _ = RULES.head(RULES.admit(Reply(200, SAID, BODY), None, TICKET, (), 0.0))

    assert b"cache-control: private, max-age=10\r\n" in lines
    assert b"vary: Authorization\r\n" in lines
