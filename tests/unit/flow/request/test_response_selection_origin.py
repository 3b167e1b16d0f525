"""Answers under `freshness.source = "origin"`: whose they are, and what passes."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.cache.entry import Key
from gateway.core.cache.policy import ByPolicy
from gateway.core.cache.rfc9111 import ByOrigin
from gateway.core.errors import UpstreamError
from gateway.core.http.fields import Headers, Reply
from gateway.core.vocabulary import Outcome, StoreVerdict, Tier
from gateway.flow.answer import Answer, Ask
from gateway.flow.cache.tiers import Seen
from gateway.flow.fill.collapse import Elsewhere
from gateway.flow.fill.fetch import Filled, Passed
from gateway.flow.request.response_selection import chosen, fits
from gateway.ports import Held
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of
from tests.unit.flow.house import CALLER, KEY, WINDOWS, Redis, Replica, ok, says, settle

FRESH = (b"cache-control", b"max-age=60")
VARIED = (FRESH, (b"vary", b"Foo"))
RULES = ByOrigin(WINDOWS, vary=True, is_shared=False)


@pytest.fixture
def replica(clock: FakeClock) -> Replica:
    """One that goes by the upstream's word."""
    return Replica(clock, rules=RULES)


async def get(replica: Replica, *sent: tuple[bytes, bytes]) -> Answer:
    """What is answered to a request with these fields to pass on."""
    return await replica.gateway.get(Ask(KEY, CALLER, extra=sent))


def minute_and_outcome(answer: Answer) -> tuple[str, Outcome]:
    """Which version it is, and how it came about."""
    assert isinstance(answer.content, Held)
    return answer.content.entry.updated_at_text[14:16], answer.outcome


async def test_the_lifetime_is_the_upstreams(replica: Replica, clock: FakeClock) -> None:
    """Neither ours nor jittered."""
    replica.upstream.then(ok(1, FRESH), ok(2, FRESH))
    await get(replica)

    clock.advance(59.0)
    assert (await get(replica)).outcome is Outcome.FRESH
    clock.advance(90_000.0)
    assert minute_and_outcome(await get(replica)) == ("02", Outcome.FILLED)


@pytest.mark.parametrize("field", ["1", "2"])
async def test_an_answer_is_for_those_that_would_choose_it(replica: Replica, field: str) -> None:
    """By the fields that `Vary` names; another request is a miss, not a stale hit."""
    replica.upstream.then(ok(1, *VARIED), ok(2, *VARIED))
    await get(replica, (b"foo", b"1"))

    again = await get(replica, (b"foo", field.encode()))

    expected = ("01", Outcome.FRESH) if field == "1" else ("02", Outcome.FILLED)
    assert minute_and_outcome(again) == expected
    assert [call.etag for call in replica.upstream.calls] == [None] * len(replica.upstream.calls)


async def test_who_joined_is_not_given_what_others_chose(replica: Replica) -> None:
    """One fetch is shared by those alone that would have been given the same."""
    replica.upstream.hold()
    replica.upstream.then(ok(1, *VARIED), ok(2, *VARIED))
    asked = [asyncio.create_task(get(replica, (b"foo", value))) for value in (b"1", b"1", b"2")]
    await settle()
    replica.upstream.release()

    answers = [minute_and_outcome(await task)[0] for task in asked]

    assert answers == ["01", "01", "02"]


@pytest.mark.parametrize(
    "field",
    [(b"cache-control", b"private"), (b"cache-control", b"no-store"), (b"vary", b"*")],
)
async def test_an_answer_that_is_not_stored_is_not_given_to_other_users(
    clock: FakeClock, field: tuple[bytes, bytes]
) -> None:
    """Requests that pass on the same fields share it, whatever their traces."""
    replica = Replica(clock, rules=ByOrigin(WINDOWS, vary=True, is_shared=True))
    replica.upstream.hold()
    replica.upstream.then(ok(1, field), ok(2, field))
    alice, bob = (b"x-user", b"alice"), (b"x-user", b"bob")
    asked = [
        asyncio.create_task(get(replica, user, (b"traceparent", trace)))
        for user, trace in ((alice, b"1"), (alice, b"2"), (bob, b"3"))
    ]
    await settle()
    replica.upstream.release()

    answers = [minute_and_outcome(await task)[0] for task in asked]

    assert answers == ["01", "01", "02"]
    assert [call.extra[0] for call in replica.upstream.calls] == [alice, bob]


async def test_an_error_is_not_passed_on_to_other_users(clock: FakeClock) -> None:
    """They get an error response of the gateway, without a call of their own."""
    replica = Replica(clock, rules=ByOrigin(WINDOWS, vary=True, is_shared=True))
    replica.upstream.hold()
    replica.upstream.then(Reply(500, ((b"cache-control", b"private"),), b"for alice"))
    alice, bob = (b"x-user", b"alice"), (b"x-user", b"bob")
    asked = [asyncio.create_task(get(replica, user)) for user in (alice, alice, bob)]
    await settle()
    replica.upstream.release()

    answers = await asyncio.gather(*asked, return_exceptions=True)

    assert [isinstance(answer, UpstreamError) for answer in answers] == [False, False, True]
    assert replica.upstream.count == 1


@pytest.mark.parametrize("status", [201, 301, 404, 405, 500, 599])
async def test_what_says_that_it_is_fresh_is_stored(replica: Replica, status: int) -> None:
    """Whatever its status, and whether or not it is a training."""
    replica.upstream.then(Reply(status, (FRESH,), b"words"))
    await get(replica)

    again = await get(replica)

    assert isinstance(again.content, Held)
    assert (again.content.entry.status, again.content.entry.body) == (status, b"words")
    assert again.tier is Tier.L1
    assert again.outcome is (Outcome.NEGATIVE if status == 404 else Outcome.FRESH)


UNKEPT = (b"cache-control", b"max-age=60, no-store")


@pytest.mark.parametrize(
    "reply", [Reply(302, (), b"x"), says(401), says(422), says(503), says(503, UNKEPT)]
)
async def test_every_complete_answer_passes(replica: Replica, reply: Reply) -> None:
    """As it is, where nothing stored may stand in. A 5xx counts as a failure, whether or not it
    could be rescued."""
    replica.upstream.then(reply)

    answer = await get(replica)

    assert answer.content == RULES.passing(reply)
    expected = Outcome.FAILED if reply.status >= 500 else Outcome.REJECTED
    assert (answer.outcome, answer.tier) == (expected, Tier.UPSTREAM)


async def test_a_503_is_rescued_unless_that_is_forbidden(
    replica: Replica, clock: FakeClock
) -> None:
    """`must-revalidate` wins over `stale_if_error`: then the 503 itself passes."""
    strict = (b"cache-control", b"max-age=60, must-revalidate")
    replica.upstream.then(ok(1, FRESH), says(503), ok(2, strict), says(503))
    await get(replica)
    clock.advance(1_000.0)
    rescued = await get(replica)
    clock.advance(100.0)
    await get(replica)
    clock.advance(100.0)

    passed = await get(replica)

    assert minute_and_outcome(rescued) == ("01", Outcome.STALE_ERROR)
    assert isinstance(passed.content, Reply)
    assert passed.content.status == 503


async def test_replicas_agree_on_what_was_chosen(clock: FakeClock) -> None:
    """What one stored, another gives to those alone that would choose it."""
    redis = Redis(clock)
    one, other = (Replica(clock, redis, rules=RULES) for _ in range(2))
    one.upstream.then(ok(1, *VARIED))
    other.upstream.then(ok(1, *VARIED))
    sent: Headers = ((b"foo", b"1"),)
    await get(one, *sent)

    same, another = await get(other, *sent), await get(other, (b"foo", b"2"))

    assert (same.tier, another.tier) == (Tier.L2, Tier.UPSTREAM)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_that_is_not_the_apis_ends_nothing(replica: Replica, status: int) -> None:
    """It passes, but says nothing about the credential and about what is stored."""
    second = Key(KEY.partition, "trn_2")
    await replica.fill(1, KEY, FRESH)
    await replica.fill(1, second, FRESH)
    replica.clock.advance(1_000.0)
    replica.upstream.then(Reply(status, ((b"content-type", b"text/plain"),), b"no"))

    passed = await get(replica)

    assert isinstance(passed.content, Reply)
    assert passed.content.status == status
    assert replica.local.entries == 2
    answer = await replica.fill(2, second, FRESH)
    assert answer.outcome is Outcome.FILLED


async def test_a_refresh_with_such_a_refusal_backs_off(replica: Replica) -> None:
    """It neither renews nor replaces the stored response."""
    replica.upstream.then(ok(1, FRESH))
    await get(replica)
    replica.clock.advance(100.0)
    replica.upstream.always = Reply(401, ((b"content-type", b"text/plain"),), b"no")

    for _ in range(3):
        await get(replica)
        await replica.land()

    assert replica.upstream.count == 2


async def test_a_304_renews_a_stored_page(replica: Replica) -> None:
    """Also if it repeats the type of the page (RFC 9111, 4.3.4)."""
    fields = (FRESH, (b"content-type", b"text/html"), (b"etag", b'"e"'))
    replica.upstream.then(Reply(200, fields, b"<html>yes</html>"), Reply(304, fields, b""))
    await get(replica)
    replica.clock.advance(1_000.0)

    renewed, again = await get(replica), await get(replica)

    assert [each.outcome for each in (renewed, again)] == [Outcome.REVALIDATED, Outcome.FRESH]
    assert isinstance(again.content, Held)
    assert again.content.entry.body == b"<html>yes</html>"
    assert replica.upstream.count == 2


ENTRY = entry_of().but(selecting=((b"foo", b"=1"),))
HELD = Held(ENTRY, b"", 0, 0.0, is_plain=False)
ONE = Ask(KEY, CALLER, extra=((b"foo", b"1"),))
OTHER = Ask(KEY, CALLER, extra=((b"foo", b"2"),))


def test_what_is_stored_is_chosen_by_its_fields() -> None:
    """To another request it is not there."""
    seen = Seen(HELD, Tier.L1, only_rescue=False)

    assert chosen(RULES, ONE, seen) is seen
    assert chosen(RULES, OTHER, seen) is None
    assert chosen(RULES, ONE, None) is None


def test_what_was_fetched_fits_whom_it_would_have_been_given() -> None:
    """Wherever it was fetched; what varies on nothing fits everybody."""
    elsewhere = Elsewhere(Seen(HELD, Tier.L2, only_rescue=False), awaited=True)

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
