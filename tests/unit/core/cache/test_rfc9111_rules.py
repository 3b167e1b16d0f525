"""The rules of `freshness.source = "origin"`: what follows from what the upstream says."""

from __future__ import annotations

import pytest

from gateway.core.cache.content_coding import NO_TRANSFORM
from gateway.core.cache.entry import Entry, Ticket
from gateway.core.cache.entry_headers import from_lines
from gateway.core.cache.policy import Plan, Windows
from gateway.core.cache.rfc9111 import ByOrigin
from gateway.core.errors import UpstreamError, UpstreamRateLimited, UpstreamRefused
from gateway.core.http.fields import Headers, Reply
from gateway.core.upstream.classification import Confirmed, ForCaller, Gone, Other, Question
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import NotStoredReason
from tests.unit.core.cache.test_rules import BODY

SENT = 1_700_000_000.0
TICKET = Ticket("epoch", 1, SENT)
FRESH = (b"cache-control", b"max-age=60")
RULES = ByOrigin(Windows(), vary=False, is_shared=True)


def error(status: int) -> bytes:
    """An error in the API's own shape."""
    return b'{"statusCode":%d,"message":"No"}' % status


def judged(status: int, *headers: tuple[bytes, bytes], body: bytes = b"text") -> object:
    """What a reply to a revalidation with the caller's own token means."""
    question = Question("t1", conditional=True, owns_token=True)
    return RULES.judge(Reply(status, headers, body), question, SENT)


def stored(*headers: tuple[bytes, bytes], sent: Headers = (), status: int = 200) -> Entry:
    """The entry of a training (a 200) or of another answer."""
    reply = Reply(status, headers, BODY)
    training = judged(200, body=BODY) if status == 200 else None
    assert training is None or isinstance(training, Training)
    return RULES.admit(reply, training, TICKET, sent, 0.5)


def head(entry: Entry, rules: ByOrigin = RULES) -> list[tuple[bytes, bytes]]:
    """The fields of its answers."""
    return list(from_lines(rules.head(entry)[0]))


@pytest.mark.parametrize("status", [200, 201, 204, 206, 299, 301, 307, 400, 405, 422, 499])
def test_every_complete_answer_passes(status: int) -> None:
    """Also what is no training, and what is no JSON."""
    assert judged(status) == Other()


def test_the_answers_of_the_api_mean_what_they_mean_by_policy() -> None:
    """A training, a confirmation, and what concerns the caller alone."""
    assert isinstance(judged(200, body=BODY), Training)
    assert judged(304) == Confirmed()
    assert judged(304, (b"content-type", b"text/html"), body=b"") == Confirmed()
    assert judged(404, body=error(404)) == Gone()
    assert judged(401, body=error(401)) == ForCaller()
    assert judged(403, body=error(403)) == ForCaller()
    assert judged(400, body=error(400)) == Other()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_an_error_of_a_proxy_passes(status: int) -> None:
    """It says nothing about the training or the token, but it is a complete answer."""
    assert judged(status, body=b'{"message":"No"}') == Other()


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_an_error_is_a_failure_that_may_be_rescued(status: int) -> None:
    """And passes where nothing can; one that says it is fresh is an answer like any other."""
    with pytest.raises(UpstreamError) as caught:
        judged(status, (b"etag", b'"e"'), (b"date", b"d"), (b"connection", b"x"))

    reply = caught.value.reply
    assert reply == Reply(status, ((b"etag", b'"e"'), (b"date", b"d")), b"text", is_verbatim=True)
    assert judged(status, FRESH) == Other()


def test_a_page_is_a_failure_as_well() -> None:
    """Of whatever status: the CDN wrote it; with a lifetime it is taken at its word."""
    page = (b"content-type", b"text/html")

    with pytest.raises(UpstreamError):
        judged(200, page)
    assert judged(200, page, FRESH) == Other()


def test_what_protects_the_upstream_and_the_token_holds() -> None:
    """A 429 closes the gate, a 401 to our own token is our fault, a 304 answers a condition."""
    with pytest.raises(UpstreamRateLimited):
        judged(429, FRESH)
    with pytest.raises(UpstreamRefused):
        RULES.judge(Reply(401, (), error(401)), Question("t1", False, owns_token=False), SENT)
    with pytest.raises(UpstreamError):
        RULES.judge(Reply(304, (), b""), Question("t1", conditional=False, owns_token=True), SENT)


@pytest.mark.parametrize(
    ("entry", "lifetime"),
    [
        (stored(FRESH), 60.0),
        (stored(), 28.5),
        (stored(status=404), 9.5),
        (stored(status=302), 0.0),
        (stored((b"last-modified", b"Tue, 14 Nov 2023 21:13:20 GMT")), 360.0),
    ],
)
def test_the_numbers_hold_where_nothing_is_said(entry: Entry, lifetime: float) -> None:
    """Jittered as by policy; what the upstream says is not."""
    assert entry.freshness_lifetime == lifetime


def test_what_is_of_no_use_is_not_stored() -> None:
    """Without a version it could not rescue, and without a lifetime not be reused."""
    useless = stored((b"cache-control", b"max-age=0"), status=500)

    assert RULES.why_not_stored(useless, Reply(500, (), b"")) is NotStoredReason.STATUS
    assert RULES.why_not_stored(stored(FRESH, status=500), Reply(500, (), b"")) is None
    assert RULES.why_not_stored(stored((b"cache-control", b"max-age=0")), Reply(200, (), b"")) is (
        None
    )


def test_who_chose_it_is_remembered() -> None:
    """By what `Vary` names of the fields that went upstream."""
    entry = stored(FRESH, (b"vary", b"Foo"), sent=((b"foo", b"1"), (b"bar", b"2")))

    assert RULES.selects(entry, ((b"foo", b"1"),))
    assert not RULES.selects(entry, ((b"foo", b"2"),))


def test_stale_windows_are_the_entrys_own() -> None:
    """`must-revalidate` wins over the numbers."""
    lenient, strict = stored(FRESH), stored((b"cache-control", b"max-age=60, must-revalidate"))

    assert RULES.plan(lenient, SENT + 61.0) is Plan.SERVE_AND_REFRESH
    assert RULES.may_rescue(lenient, SENT + 61.0)
    assert RULES.plan(strict, SENT + 61.0) is Plan.FETCH
    assert not RULES.may_rescue(strict, SENT + 61.0)


@pytest.mark.parametrize(("status", "lifetime"), [(200, 28.5), (203, 0.0)])
def test_a_304_that_takes_the_lifetime_back_leaves_none_to_invent(
    status: int, lifetime: float
) -> None:
    """The settings are for trainings. What is none is not kept, as if it had come so at first."""
    told = ((b"cache-control", b"public"),)
    entry = stored(FRESH, (b"etag", b'"e"'), status=status)

    renewed = RULES.renew(entry, Reply(304, told, b""), TICKET, (), 0.5)

    assert renewed.freshness_lifetime == stored(*told, status=status).freshness_lifetime == lifetime
    reason = RULES.why_not_stored(renewed, Reply(304, told, b""))
    assert reason is (None if status == 200 else NotStoredReason.STATUS)


def test_a_304_replaces_the_fields_that_it_brings() -> None:
    """And nothing of what the body is; the lifetime is that of what results (3.2)."""
    body = ((b"content-encoding", b"odd"), (b"content-type", b"application/json"))
    entry = stored(FRESH, *body, (b"a", b"1"), (b"b", b"1"), (b"etag", b'"e"'))
    of_the_page = ((b"content-encoding", b"x"), (b"content-type", b"text/html"))
    reply = Reply(304, ((b"a", b"2"), *of_the_page, (b"age", b"5")), b"")
    later = Ticket("epoch", 1, SENT + 100.0)

    renewed = RULES.renew(entry, reply, later, (), 0.5)

    assert set(renewed.headers) == {FRESH, *body, (b"a", b"2"), (b"b", b"1"), (b"etag", b'"e"')}
    assert (renewed.body, renewed.updated_at) == (entry.body, entry.updated_at)
    assert (renewed.freshness_lifetime, renewed.confirmed_at) == (60.0, later.started)
    assert renewed.initial_age == 5.0


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        (b"text/html", b"application/json", b"application/json"),
        (b"text/plain", b"application/json", b"application/json"),
        (b"application/json", b"text/html; charset=utf-8", b"application/json"),
        (b"text/html", b"text/html; charset=utf-8", b"text/html; charset=utf-8"),
    ],
)
def test_a_304_corrects_the_type_but_makes_no_page(
    before: bytes, told: bytes, after: bytes
) -> None:
    """A proxy in front of the API can write the type of its pages into a 304. The stored type may
    be wrong because of such a 304."""
    entry = stored(FRESH, (b"content-type", before))

    renewed = RULES.renew(entry, Reply(304, ((b"content-type", told),), b""), TICKET, (), 0.5)

    assert [value for name, value in renewed.headers if name == b"content-type"] == [after]


def test_an_entry_of_the_other_rules_has_a_lifetime_of_ours() -> None:
    """Under `policy` it kept `no-transform` alone, which does not say how long it is fresh."""
    entry = stored(NO_TRANSFORM)

    fields = head(entry)

    assert NO_TRANSFORM in fields
    assert (b"cache-control", b"private, max-age=%d" % entry.freshness_lifetime) in fields


def test_the_head_says_what_the_upstream_said() -> None:
    """Each field in its place but those of one message; no cookie, no lifetime of ours."""
    said = (
        *((b"cache-control", b"max-age=60"), (b"cache-control", b"public")),
        *((b"expires", b"0"), (b"vary", b"Foo"), (b"cdn-cache-control", b"max-age=1")),
    )
    entry = stored(*said, (b"set-cookie", b"a=b"), (b"age", b"9"), (b"connection", b"x"))

    fields = head(entry)

    assert set(said) <= set(fields)
    assert not {b"set-cookie", b"age", b"connection"} & {name for name, _ in fields}
    assert (b"content-length", b"%d" % len(BODY)) in fields
    assert (b"vary", b"Authorization") not in fields
    assert (b"vary", b"Authorization") in head(entry, ByOrigin(Windows(), True, False))


def test_where_nothing_is_said_the_head_says_our_lifetime() -> None:
    """So that callers know it; a training has a tag of ours, other answers have none."""
    assert (b"cache-control", b"private, max-age=28") in head(stored())
    assert any(name == b"etag" for name, _ in head(stored()))
    assert not any(name == b"etag" for name, _ in head(stored(FRESH, status=404)))


def test_a_204_states_no_length() -> None:
    """RFC 9110, 8.6."""
    assert not any(name == b"content-length" for name, _ in head(stored(FRESH, status=204)))
