"""What the upstream says of reuse: RFC 9111, 5861 and 9213."""

from __future__ import annotations

import time

import pytest

from gateway.core.cache.content_coding import NO_TRANSFORM
from gateway.core.cache.entry import Entry, FetchStart
from gateway.core.cache.entry_headers import from_lines
from gateway.core.cache.policy import Plan, Windows
from gateway.core.cache.rfc9111 import (
    ByOrigin,
    explicit_lifetime,
    guessed_lifetime,
    initial_age,
    selecting_fields,
    selects,
    varies_on,
    why_not_stored,
    windows_for,
)
from gateway.core.errors import UpstreamError, UpstreamRateLimited, UpstreamRefused
from gateway.core.http.cache_control import LARGEST_DELTA
from gateway.core.http.fields import Headers, Reply
from gateway.core.instant import from_seconds, to_http_date
from gateway.core.upstream.classification import Confirmed, ForCaller, Gone, Other, Question
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import NotStoredReason
from gateway.core.vocabulary import NotStoredReason as Reason
from tests.doubles.stored import WORDS
from tests.unit.core.cache.test_policy import BODY

NOW = 1_700_000_000.0


def at(seconds: float) -> bytes:
    """An HTTP-date so many seconds from now."""
    return to_http_date(from_seconds(NOW + seconds)).encode()


def control(*values: bytes) -> Headers:
    """A `Cache-Control`, a line each."""
    return tuple((b"cache-control", value) for value in values)


def cdn(value: bytes) -> Headers:
    """A `CDN-Cache-Control`."""
    return ((b"cdn-cache-control", value),)


DATED: Headers = ((b"date", at(0)),)
LAST = b"Fri, 31 Dec 9999 23:59:59 GMT"


@pytest.mark.parametrize(
    ("headers", "shared", "private"),
    [
        ((), None, None),
        (control(b"max-age=60"), 60, 60),
        (control(b"max-age=60", b"s-maxage=1"), 1, 60),
        (control(b"max-age=0, s-maxage=60"), 60, 0),
        (control(b"s-maxage=60"), 60, None),
        (control(b"max-age=60, no-cache"), 0, 0),
        (control(b"max-age=60", b"max-age=1"), 60, 60),
        ((*DATED, (b"expires", at(30))), 30, 30),
        ((*DATED, (b"expires", at(-30))), 0, 0),
        (((b"date", at(400)), (b"expires", at(300))), 0, 0),
        (((b"date", b"foo"), (b"expires", at(10))), 10, 10),
        ((*DATED, (b"expires", b"0")), 0, 0),
        ((*DATED, (b"expires", LAST)), LARGEST_DELTA, LARGEST_DELTA),
        ((*DATED, (b"expires", at(30)), (b"expires", at(30))), 0, 0),
        ((*control(b"max-age=60"), *DATED, (b"expires", b"0")), 60, 60),
        ((*control(b"max-age=60"), *cdn(b"max-age=1")), 1, 60),
        ((*cdn(b"max-age=60"), *DATED, (b"expires", at(-30))), 60, 0),
        ((*cdn(b"private"), *DATED, (b"expires", at(30))), None, 30),
        ((*cdn(b"max-age=60, &&&"), *control(b"max-age=1")), 1, 1),
        ((*cdn(b"no-cache"), *control(b"max-age=60")), 0, 60),
    ],
)
def test_the_explicit_lifetime(
    headers: Headers, shared: float | None, private: float | None
) -> None:
    """Targeted before s-maxage before max-age before Expires (4.2.1); the first two are for
    shared caches alone."""
    assert explicit_lifetime(headers, NOW, is_shared=True) == shared
    assert explicit_lifetime(headers, NOW, is_shared=False) == private


@pytest.mark.parametrize(
    ("status", "headers", "guess"),
    [
        (200, (*DATED, (b"last-modified", at(-1_000))), 100),
        (404, (*DATED, (b"last-modified", at(-1_000))), 100),
        (200, (*DATED, (b"last-modified", at(-10_000_000))), 86_400),
        (200, (*DATED, (b"last-modified", at(1_000))), 0),
        (201, (*DATED, (b"last-modified", at(-1_000))), None),
        (599, (*DATED, (b"last-modified", at(-1_000))), None),
        (599, (*DATED, (b"last-modified", at(-1_000)), *control(b"public")), 100),
        (200, DATED, None),
        (200, (*DATED, (b"last-modified", b"yesterday")), None),
    ],
)
def test_a_lifetime_is_guessed_from_the_last_change(
    status: int, headers: Headers, guess: float | None
) -> None:
    """A tenth of the time since then, a day at most, for some statuses (4.2.2)."""
    assert guessed_lifetime(status, headers, NOW, is_shared=True) == guess


@pytest.mark.parametrize(
    ("status", "headers", "shared", "private"),
    [
        (200, (), None, None),
        (200, control(b"no-store"), Reason.NO_STORE, Reason.NO_STORE),
        (200, control(b"max-age=60, No-StOrE"), Reason.NO_STORE, Reason.NO_STORE),
        (200, control(b"private, max-age=60"), Reason.PRIVATE, None),
        (200, (*cdn(b"private"), *control(b"max-age=60")), Reason.PRIVATE, None),
        (200, (*cdn(b"max-age=60"), *control(b"no-store")), None, Reason.NO_STORE),
        (200, (*cdn(b"max-age=60, &"), *control(b"no-store")), Reason.NO_STORE, Reason.NO_STORE),
        (200, control(b"max-age=60, no-store, must-understand"), None, None),
        (599, control(b"max-age=60, no-store, must-understand"), Reason.STATUS, Reason.STATUS),
        (200, ((b"vary", b"*"),), Reason.VARY, Reason.VARY),
        (302, (), Reason.STATUS, Reason.STATUS),
        (302, control(b"max-age=60"), None, None),
        (302, control(b"s-maxage=60"), None, Reason.STATUS),
        (599, control(b"public"), None, None),
        *((status, control(b"max-age=60"), Reason.STATUS, Reason.STATUS) for status in (206, 401)),
        (403, control(b"public, max-age=60"), Reason.STATUS, Reason.STATUS),
    ],
)
def test_what_may_be_stored(
    status: int, headers: Headers, shared: Reason | None, private: Reason | None
) -> None:
    """RFC 9111, 3: what it permits, and nothing that concerns one caller alone."""
    assert why_not_stored(status, headers, is_shared=True) is shared
    assert why_not_stored(status, headers, is_shared=False) is private


@pytest.mark.parametrize(
    ("headers", "age"),
    [
        ((), 0),
        (((b"age", b"30"),), 30),
        (((b"age", b"30, 0"),), 30),
        (((b"age", b"0"), (b"age", b"30")), 0),
        (((b"age", b"-30"),), 0),
        (((b"age", b"30.0"),), 0),
        (((b"date", at(-50)), (b"age", b"30")), 50),
        (((b"date", at(-50)), (b"age", b"70")), 70),
        (((b"date", at(50)),), 0),
        (((b"date", b"Mon, 01 Jan 0001 00:00:00 GMT"),), LARGEST_DELTA),
    ],
)
def test_the_age_that_it_came_with(headers: Headers, age: float) -> None:
    """The larger of what it says and what its date tells, in whole seconds (4.2.3)."""
    assert initial_age(headers, NOW + 0.9) == age


@pytest.mark.parametrize(
    ("headers", "refreshing", "failing"),
    [
        (control(b"max-age=1"), 300, 86_400),
        (control(b"max-age=1, stale-while-revalidate=9"), 9, 86_400),
        (control(b"max-age=1, stale-if-error=0"), 300, 0),
        (control(b"stale-while-revalidate=9, stale-if-error=9, must-revalidate"), 0, 0),
        (control(b"no-cache"), 0, 0),
        (control(b"proxy-revalidate"), 0, 0),
        (control(b"s-maxage=1, stale-while-revalidate=9"), 0, 0),
        (cdn(b"max-age=1, stale-if-error=7"), 300, 7),
    ],
)
def test_how_long_it_may_be_used_stale(headers: Headers, refreshing: float, failing: float) -> None:
    """As it says (RFC 5861), as configured where it says nothing; what must be revalidated is
    never used stale (RFC 9111, 4.2.4)."""
    windows = windows_for(headers, Windows(), is_shared=True)

    assert (windows.stale_while_revalidate, windows.stale_if_error) == (refreshing, failing)


@pytest.mark.parametrize("value", [b"proxy-revalidate", b"s-maxage=1"])
def test_a_private_cache_heeds_no_word_to_shared_ones(value: bytes) -> None:
    """`proxy-revalidate` and `s-maxage` do not bind it (5.2.2.8, 5.2.2.10)."""
    assert windows_for(control(value), Windows(), is_shared=False) == Windows()


SENT = 1_700_000_000.0
START = FetchStart(SENT, WORDS)
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
    return RULES.admit(reply, training, START, sent, 0.5)


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

    renewed = RULES.renew(entry, Reply(304, told, b""), START, (), 0.5)

    assert renewed.freshness_lifetime == stored(*told, status=status).freshness_lifetime == lifetime
    reason = RULES.why_not_stored(renewed, Reply(304, told, b""))
    assert reason is (None if status == 200 else NotStoredReason.STATUS)


def test_a_304_replaces_the_fields_that_it_brings() -> None:
    """And nothing of what the body is; the lifetime is that of what results (3.2)."""
    body = ((b"content-encoding", b"odd"), (b"content-type", b"application/json"))
    entry = stored(FRESH, *body, (b"a", b"1"), (b"b", b"1"), (b"etag", b'"e"'))
    of_the_page = ((b"content-encoding", b"x"), (b"content-type", b"text/html"))
    reply = Reply(304, ((b"a", b"2"), *of_the_page, (b"age", b"5")), b"")
    later = FetchStart(SENT + 100.0, WORDS)

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

    renewed = RULES.renew(entry, Reply(304, ((b"content-type", told),), b""), START, (), 0.5)

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


def vary(*values: bytes) -> Headers:
    """Response fields with these lines of `Vary`."""
    return ((b"x", b"y"), *((b"vary", value) for value in values))


@pytest.mark.parametrize("values", [(b"*",), (b"*, *",), (b", *",), (b"", b"*"), (b"Foo", b"*")])
def test_a_star_matches_nobody(values: tuple[bytes, ...]) -> None:
    """Wherever in the list it stands (RFC 9110, 12.5.5)."""
    assert varies_on(vary(*values)) is None


def test_names_are_gathered_over_all_lines() -> None:
    """In lower case, empty elements left out."""
    assert varies_on(vary(b"Foo, ,BAR", b"baz")) == frozenset({b"foo", b"bar", b"baz"})
    assert varies_on(((b"x", b"y"),)) == frozenset()


@pytest.mark.parametrize(
    ("chosen_by", "presented", "same"),
    [
        (((b"foo", b"1"),), ((b"foo", b"1"),), True),
        (((b"foo", b"1"),), ((b"foo", b"2"),), False),
        (((b"foo", b"1"),), (), False),
        ((), ((b"foo", b"1"),), False),
        ((), ((b"foo", b""),), False),
        ((), ((b"other", b"1"),), True),
        (((b"foo", b"1,2"),), ((b"foo", b" 1, 2 "),), True),
        (((b"foo", b"1, 2"),), ((b"foo", b"1"), (b"foo", b"2")), True),
        (((b"foo", b'"1, 2"'),), ((b"foo", b'"1,2"'),), False),
        (((b"foo", b"A"),), ((b"foo", b"a"),), False),
    ],
)
def test_who_presents_the_same_fields_is_given_the_same(
    chosen_by: Headers, presented: Headers, same: bool
) -> None:
    """Present and absent alike; spaces around commas and several lines make no difference."""
    assert selects(selecting_fields(vary(b"Foo"), chosen_by), presented) is same


def test_languages_are_alike_in_either_case() -> None:
    """RFC 5646, 2.1.1."""
    chosen = selecting_fields(vary(b"Accept-Language"), ((b"accept-language", b"en, de"),))

    assert selects(chosen, ((b"accept-language", b"eN,De"),))
    assert not selects(chosen, ((b"accept-language", b"de, en"),))


def test_what_does_not_vary_is_for_everybody() -> None:
    """Nothing is remembered of the request."""
    assert selecting_fields((), ((b"foo", b"1"),)) == ()


@pytest.mark.parametrize("piece", [b" ", b"\t", b", ", b" a"])
def test_a_long_field_is_compared_in_linear_time(piece: bytes) -> None:
    """Sixteen kilobytes of it: less than a millisecond, not seconds."""
    value = b"a" + piece * (16_384 // len(piece)) + b"a"
    began = time.thread_time()  # only the CPU of this thread: others may use the cores

    selects(((b"foo", b"=a"),), ((b"foo", value),))

    assert time.thread_time() - began < 0.1
