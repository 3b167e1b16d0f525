"""What may be reused, and what may rescue: against models that spell the windows out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cache.content_coding import NO_TRANSFORM
from gateway.core.cache.entry import Entry, FetchStart
from gateway.core.cache.policy import (
    ByPolicy,
    Plan,
    Windows,
    admit,
    may_rescue,
    plan,
    renew,
    why_not_stored,
)
from gateway.core.http.fields import Headers, Reply
from gateway.core.upstream.classification import Question
from gateway.core.upstream.training import Training, digest, parse
from gateway.core.vocabulary import NotStoredReason
from tests.doubles.stored import WORDS, entry_of, version

SENT = 10_000.0
DEFAULTS = Windows()

lengths = st.integers(0, 12)


def windows_of(revalidate: int, error: int) -> Windows:
    """Stale windows of whole seconds."""
    return Windows(stale_while_revalidate=float(revalidate), stale_if_error=float(error))


def entry_with(lifetime: float, *, negative: bool = False, initial_age: float = 0.0) -> Entry:
    """An entry confirmed at SENT."""
    entry = entry_of(FetchStart(SENT, WORDS), None if negative else version())
    return entry.but(freshness_lifetime=float(lifetime), initial_age=float(initial_age))


@dataclass(frozen=True)
class Case:
    """An entry of some age under some windows, all in whole seconds."""

    passed: int
    initial_age: int
    lifetime: int
    revalidate: int
    error: int
    negative: bool

    @property
    def now(self) -> float:
        """The moment that is judged."""
        return SENT + self.passed

    @property
    def entry(self) -> Entry:
        """The entry that is judged."""
        negative, initial_age = self.negative, self.initial_age
        return entry_with(self.lifetime, negative=negative, initial_age=initial_age)

    @property
    def windows(self) -> Windows:
        """The stale windows."""
        return windows_of(self.revalidate, self.error)

    def expected_plan(self) -> Plan:
        """Each window written out second by second."""
        age = self.passed + self.initial_age
        if age in range(self.lifetime):
            return Plan.SERVE
        if self.negative:
            return Plan.FETCH
        if age in range(self.lifetime, self.lifetime + self.revalidate):
            return Plan.SERVE_AND_REFRESH
        if age in range(self.lifetime, self.lifetime + self.error):
            return Plan.WAIT_SOFTLY
        return Plan.FETCH

    def expected_rescue(self) -> bool:
        """The seconds of all windows, gathered one by one."""
        seconds = {*range(self.lifetime + self.revalidate), *range(self.lifetime + self.error)}
        return not self.negative and self.passed + self.initial_age in seconds


cases = st.builds(
    Case, st.integers(0, 30), st.integers(0, 5), lengths, lengths, lengths, st.booleans()
)


@given(cases)
def test_plan_is_the_model(case: Case) -> None:
    """Fresh is served, then served and refreshed, then waited for, then fetched."""
    assert plan(case.entry, case.now, case.windows) is case.expected_plan()


@given(cases)
def test_rescue_is_the_model(case: Case) -> None:
    """It rescues while fresh or in either stale window, and a negative entry never."""
    assert may_rescue(case.entry, case.now, case.windows) is case.expected_rescue()


@pytest.mark.parametrize(
    ("age", "chosen", "rescues"),
    [
        (-1.25, Plan.FETCH, False),
        (-1.0, Plan.SERVE, True),
        (0.0, Plan.SERVE, True),
        (29.75, Plan.SERVE, True),
        (30.0, Plan.SERVE_AND_REFRESH, True),
        (329.75, Plan.SERVE_AND_REFRESH, True),
        (330.0, Plan.WAIT_SOFTLY, True),
        (86_429.75, Plan.WAIT_SOFTLY, True),
        (86_430.0, Plan.FETCH, False),
    ],
)
def test_the_defaults_of_the_contract(age: float, chosen: Plan, rescues: bool) -> None:
    """30 s fresh, 5 min refreshing, 24 h on error, both counted from the end of the lifetime."""
    entry = entry_with(30.0)

    assert plan(entry, SENT + age, DEFAULTS) is chosen
    assert may_rescue(entry, SENT + age, DEFAULTS) is rescues


@pytest.mark.parametrize(("revalidate", "error"), [(10.0, 0.0), (0.0, 10.0)])
def test_it_rescues_in_the_longer_window(revalidate: float, error: float) -> None:
    """Whichever of the two that is."""
    windows = Windows(30.0, stale_while_revalidate=revalidate, stale_if_error=error)

    assert may_rescue(entry_with(30.0), SENT + 39.0, windows)
    assert not may_rescue(entry_with(30.0), SENT + 41.0, windows)


@given(st.integers(0, 9_000))
def test_reported_age_hides_no_clock_set_back(initial_age: int) -> None:
    """From further ahead than clocks differ: neither served nor a rescue, whatever its Age."""
    entry = entry_with(30.0, initial_age=initial_age)

    assert plan(entry, SENT - 1.25, DEFAULTS) is Plan.FETCH
    assert not may_rescue(entry, SENT - 1.25, DEFAULTS)


@given(lengths, lengths, lengths, lengths)
def test_an_entry_is_kept_beyond_every_window(
    lifetime: int, negative: int, revalidate: int, error: int
) -> None:
    """Its expiry in Redis leaves a minute after the last moment at which it is of any use."""
    windows = Windows(float(lifetime), float(revalidate), float(error), 1.0, float(negative))
    last = SENT + windows.keep - 60.0

    assert last >= SENT
    assert not may_rescue(entry_with(lifetime), last, windows)
    assert plan(entry_with(lifetime), last, windows) is Plan.FETCH
    assert plan(entry_with(negative, negative=True), last, windows) is Plan.FETCH


CALLED = 1_700_000_000.25
START = FetchStart(CALLED, WORDS)
LATER = FetchStart(CALLED + 40.0, WORDS._replace(training=WORDS.partition))
UPSTREAMS_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
ERROR = b'{"statusCode":404,"message":"Not Found"}'

jitters = st.floats(0.0, 1.0, exclude_max=True)
spans = st.floats(0.0, 1e6)


def training_of(body: bytes) -> Training:
    """A body as judge would have found it good."""
    return Training("t1", version(5), "2025-01-01T00:00:00Z", body)


def admitted(headers: Headers = (), body: bytes = b"{}") -> Entry:
    """What is stored of a 200."""
    return admit(Reply(200, headers, body), training_of(body), START, DEFAULTS, 0.0)


def renewed(entry: Entry, *headers: tuple[bytes, bytes]) -> Entry:
    """The entry after a 304 with these fields."""
    return renew(entry, Reply(304, headers, b""), LATER, DEFAULTS, 0.0)


@given(st.binary(max_size=60), jitters)
def test_admit_keeps_the_bytes(body: bytes, jitter: float) -> None:
    """Body, version and its text are stored as received, and the digest is the body's."""
    training = training_of(body)

    entry = admit(Reply(200, (), body), training, START, DEFAULTS, jitter)

    assert (entry.status, entry.body, entry.digest) == (200, body, digest(body))
    assert (entry.updated_at, entry.updated_at_text) == (version(5), training.updated_at_text)


def test_admit_shows_the_start() -> None:
    """Words and time are those from before the call, not from after it."""
    entry = admitted()

    assert (entry.ticket, entry.started, entry.confirmed_at) == (WORDS, CALLED, CALLED)


@given(spans, spans, jitters, st.sampled_from([200, 404, 410]))
def test_a_lifetime_is_never_longer_than_promised(
    lifetime: float, negative_lifetime: float, jitter: float, status: int
) -> None:
    """Jitter shortens it, by a tenth at most; a negative entry has its own."""
    windows = Windows(lifetime=lifetime, negative_lifetime=negative_lifetime)
    training = training_of(b"{}") if status == 200 else None
    promised = lifetime if status == 200 else negative_lifetime

    entry = admit(Reply(status, (), b"{}"), training, START, windows, jitter)

    assert promised * 0.9 <= entry.freshness_lifetime <= promised


@given(spans, jitters)
def test_a_renewed_lifetime_is_never_longer_than_promised(lifetime: float, jitter: float) -> None:
    """A 304 begins the same lifetime anew, whatever the old one was."""
    windows = Windows(lifetime=lifetime)

    entry = renew(admitted(), Reply(304, (), b""), LATER, windows, jitter)

    assert lifetime * 0.9 <= entry.freshness_lifetime <= lifetime


def test_jitter_spreads_over_the_whole_tenth() -> None:
    """Entries stored together do not become stale together."""
    training, reply = training_of(b"{}"), Reply(200, (), b"{}")

    longest = admit(reply, training, START, DEFAULTS, 0.0)
    middle = admit(reply, training, START, DEFAULTS, 0.5)

    assert longest.freshness_lifetime == 30.0
    assert middle.freshness_lifetime == pytest.approx(28.5)


@pytest.mark.parametrize("status", [404, 410])
def test_no_training_makes_a_negative_entry(status: int) -> None:
    """The API's own words are remembered, without a version."""
    entry = admit(Reply(status, (), ERROR), None, START, DEFAULTS, 0.0)

    assert entry.is_negative
    assert (entry.status, entry.body, entry.updated_at_text) == (status, ERROR, "")
    assert entry.freshness_lifetime == 10.0


def test_only_end_to_end_fields_are_stored() -> None:
    """A cookie or a connection's field never reaches another caller."""
    fields = ((b"set-cookie", b"a=b"), (b"connection", b"x-own"), (b"x-own", b"1"))

    assert admitted((*fields, (b"server", b"cloudflare"))).headers == ((b"server", b"cloudflare"),)
    assert renewed(admitted(), *fields).headers == ()


@given(st.integers(0, 10**9), st.floats(0.0, 1e6))
def test_age_includes_the_upstreams(reported: int, passed: float) -> None:
    """Whoever cached it before us, and the time of the call, count (RFC 9111, 4.2.3)."""
    fields = ((b"age", b"%d" % reported),)

    assert admitted(fields).age(CALLED + passed) == pytest.approx(reported + passed, abs=1e-6)
    assert renewed(admitted(), *fields).age(CALLED + 40.0 + passed) == pytest.approx(
        reported + passed, abs=1e-6
    )


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        (UPSTREAMS_DATE, UPSTREAMS_DATE),
        ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"),
        (f"\t{UPSTREAMS_DATE} ", UPSTREAMS_DATE),
        ("yesterday", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("", "Tue, 14 Nov 2023 22:13:20 GMT"),
    ],
)
def test_date_is_the_upstreams(date: str, kept: str) -> None:
    """Unless it is none: then it is when the call was sent."""
    assert admitted(((b"date", date.encode()),)).date == kept


def test_without_a_date_it_is_when_the_call_was_sent() -> None:
    """Of the first call, and of the one that confirmed it later."""
    entry = admitted()

    assert entry.date == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert renewed(entry).date == "Tue, 14 Nov 2023 22:14:00 GMT"


def test_renew_keeps_body_and_version_and_takes_the_times() -> None:
    """A 304 makes nothing of the content anew, and everything of the time."""
    entry = admitted(((b"age", b"20"),), body=b'{"v": 1}')

    again = renewed(entry, (b"date", UPSTREAMS_DATE.encode()))

    assert again == entry.but(
        date=UPSTREAMS_DATE,
        confirmed_at=LATER.started,
        initial_age=0.0,
        started=LATER.started,
        ticket=LATER.ticket,
    )
    assert again.body is entry.body


def test_renew_updates_fields_by_name() -> None:
    """Those of the 304 replace all of that name, the others stay (RFC 9111, 3.2)."""
    entry = admitted(((b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"3")))

    again = renewed(entry, (b"x-a", b"4"), (b"x-c", b"5"), (b"x-c", b"6"))

    assert again.headers == ((b"x-b", b"3"), (b"x-a", b"4"), (b"x-c", b"5"), (b"x-c", b"6"))
    assert renewed(again, *again.headers).headers == again.headers


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ((), True),
        (((b"cache-control", b"max-age=5"),), False),
        (((b"cache-control", b"max-age=5"), (b"cache-control", b"no-transform")), True),
    ],
)
def test_no_transform_is_all_that_is_kept_of_cache_control(told: Headers, kept: bool) -> None:
    """Until a 304 has another `Cache-Control` (RFC 9111, 3.2 and 5.2.2.6)."""
    entry = admitted(((b"cache-control", b"max-age=9, no-transform"),))

    assert entry.headers == (NO_TRANSFORM,)
    assert renewed(entry, *told).headers == ((NO_TRANSFORM,) if kept else ())
    assert admitted(((b"cache-control", b"max-age=9"),)).headers == ()


@pytest.mark.parametrize("name", [b"etag", b"last-modified", b"content-type"])
def test_a_304_says_nothing_of_the_body(name: bytes) -> None:
    """A wrong one must not tie its validators to the body that we hold, and so repeat itself."""
    entry = admitted(((name, b"with the body"),))

    assert renewed(entry, (name, b"with the 304")).headers == entry.headers
    assert renewed(entry_of(headers=()), (name, b"with the 304")).headers == ()


@pytest.mark.parametrize(
    ("headers", "forbidden"),
    [
        ((), False),
        (((b"cache-control", b"private, max-age=0"),), False),
        (((b"cache-control", b"no-store"),), True),
        (
            (
                (b"cache-control", b"private"),
                (b"cache-control", b"max-age=0,No-Store"),
            ),
            True,
        ),
        (((b"cache-control", b'private="x, no-store, y"'),), False),
        (((b"pragma", b"no-store"),), False),
    ],
)
def test_no_store_is_respected_or_not(headers: Headers, forbidden: bool) -> None:
    """As `freshness.no_store` says."""
    expected = NotStoredReason.NO_STORE if forbidden else None

    assert why_not_stored(headers, DEFAULTS) is expected
    assert why_not_stored(headers, replace(DEFAULTS, respect_no_store=False)) is None


BODY = (
    b'{"id": "t1", "title": "T", "content": "C", "draft_title": null, "draft_content": null, '
    b'"type": "BEHAVIORAL", "is_draft": false, "directory_id": null, "restricted_to_channels": [], '
    b'"restricted_to_segments": [], "current_version": 1, "published_at": null, '
    b'"created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z"}'
)
SAID = ((b"cache-control", b"no-store, max-age=1"), (b"vary", b"foo"))
ASKED = FetchStart(1_700_000_000.0, WORDS)
RULES = ByPolicy(Windows(), vary=True)


def test_our_numbers_decide_whatever_the_upstream_says() -> None:
    """But for `no-store`: its lifetime and its `Vary` are not heard."""
    reply = Reply(200, SAID, BODY)
    training = RULES.judge(reply, Question("t1", False, True), ASKED.started)
    assert isinstance(training, Training)

    entry = RULES.admit(reply, training, ASKED, ((b"foo", b"1"),), 0.0)

    assert entry == admit(reply, training, ASKED, Windows(), 0.0)
    assert entry.selecting == ()
    assert RULES.selects(entry, ((b"foo", b"2"),))
    assert RULES.why_not_stored(entry, reply) is NotStoredReason.NO_STORE
    assert RULES.plan(entry, ASKED.started + 29.0) is Plan.SERVE
    assert RULES.plan(entry, ASKED.started + 31.0) is Plan.SERVE_AND_REFRESH
    assert RULES.plan(entry, ASKED.started, only_rescue=True) is Plan.FETCH
    assert RULES.may_rescue(entry, ASKED.started + 301.0)


@pytest.mark.parametrize("status", [200, 404])
def test_a_training_is_asked_again_a_lifetime_after_the_last_answer(status: int) -> None:
    """However old the answer was on arrival; then its age decides as always."""
    reply = Reply(status, ((b"age", b"100000"),), BODY)
    training = parse(BODY, "t1") if status == 200 else None
    entry = RULES.admit(reply, training, ASKED, (), 0.0)
    lifetime = entry.freshness_lifetime

    assert entry.age(ASKED.started) == 100_000.0
    assert RULES.plan(entry, ASKED.started) is Plan.SERVE_STALE
    assert RULES.plan(entry, ASKED.started + lifetime - 0.25) is Plan.SERVE_STALE
    assert RULES.plan(entry, ASKED.started + lifetime) is Plan.FETCH
    assert RULES.plan(entry, ASKED.started, only_rescue=True) is Plan.FETCH
    assert RULES.plan(entry, ASKED.started - 2.0) is Plan.FETCH
    assert RULES.may_rescue(entry, ASKED.started) is (status == 200)
    assert not RULES.may_rescue(entry, ASKED.started + lifetime)


def test_a_304_renews_for_our_lifetime() -> None:
    """From when the call for it was sent."""
    reply = Reply(200, (), BODY)
    entry = RULES.admit(reply, None, ASKED, (), 0.0)
    later = FetchStart(ASKED.started + 40.0, WORDS)

    renewed = RULES.renew(entry, Reply(304, SAID, b""), later, (), 0.0)

    assert (renewed.confirmed_at, renewed.freshness_lifetime) == (later.started, 30.0)


def test_what_passes_is_left_as_it_is() -> None:
    """What it says of caching is taken from it where it is rendered."""
    reply = Reply(400, SAID, b"{}")

    assert RULES.passing(reply) is reply
    assert not RULES.is_verbatim


def test_the_head_says_our_lifetime() -> None:
    """Not the upstream's."""
    lines, _ = RULES.head(RULES.admit(Reply(200, SAID, BODY), None, ASKED, (), 0.0))

    assert b"cache-control: private, max-age=30\r\n" in lines
    assert b"vary: Authorization\r\n" in lines
