"""One answer, two ways: the short one and Starlette's say the same, byte for byte, of all."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.access.caller import Client, Clients, Open, Tenant, digest_of
from gateway.core.access.registry import Access
from gateway.core.budget.window_log import Rate
from gateway.core.errors import UpstreamUnreachable
from gateway.core.http.fields import Reply
from gateway.core.upstream.list_page import THE_LIST
from gateway.core.vocabulary import FailureReason, Outcome
from gateway.ports import Call, Held, SharedStore
from tests.unit.web.planes import PASSTHROUGH, Data, training_reply
from tests.unit.web.wires import Door, get

_TAG = b'"tag-a"'
_MODIFIED = b"Tue, 14 Nov 2023 20:00:00 GMT"
_TRACE = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"


def clients(rate: Rate | None) -> Clients:
    """Two clients of one tenant."""
    both = (
        Client("web", (digest_of("t-1"),), "acme", rate),
        Client("app", (digest_of("t-2"),), "acme", None),
    )
    return Clients.of("http://upstream.test", None, (Tenant("acme", "T", None),), both)


ACCESS: dict[str, Access] = {
    "passthrough": PASSTHROUGH,
    "open": Open("http://upstream.test", None, "T"),
    "clients": clients(None),
    "clients with a rate": clients(Rate(4, 60.0)),
}


async def upstream(call: Call) -> Reply:
    """By the name of the training: there, not there, not to be stored, out of reach; the list."""
    if call.training_id == THE_LIST:
        page = b'{"items":[],"total":0,"limit":2,"offset":0,"has_more":false}'
        return Reply(200, ((b"content-type", b"application/json"),), page)
    if call.training_id == "missing":
        body = b'{"statusCode":404,"message":"no"}'
        return Reply(404, ((b"content-type", b"application/json"),), body)
    if call.training_id == "down":
        raise UpstreamUnreachable("no way there", FailureReason.CONNECT, sent=False)
    fields = [(b"etag", _TAG)] if call.training_id == "a" else [(b"x-b", b"1: 2")]
    if call.training_id == "private":
        fields.append((b"cache-control", b"no-store"))
    return training_reply(call.training_id, *fields)


@dataclass(frozen=True)
class Step:
    """A request, so many seconds after the one before; `again`: sent so many times."""

    later: float
    sent: tuple[bytes, ...]
    again: int


_methods = st.sampled_from([b"GET"] * 6 + [b"HEAD", b"HEAD", b"PUT", b"OPTIONS"])
_targets = st.sampled_from(
    [b"/training/" + name for name in (b"a", b"a", b"a", b"b", b"b", b"missing", b"down")]
    + [b"/training/private", b"/training/%61", b"/training/a?x=1", b"/training/..", b"/livez"]
    + [b"/training?ids=a", b"/training?ids=a,b,a", b"/training?ids=a,missing", b"/training?ids="]
    + [b"/training?ids=b,a", b"/training?ids=a&x=1", b"/training?ids=%61", b"/training?ids=a,.."]
    + [b"/training?limit=2", b"/training?limit=2&offset=1", b"/training?limit=0", b"/training?"]
    + [b"/training/a#f", b"/trainings", b"http://h/training/a", b"/training/" + b"x" * 129]
)
_versions = st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0"])
_fields = st.sampled_from(
    [
        *(b"Authorization: Bearer t-1", b"authorization:Bearer t-2 ", b"Authorization: Basic x"),
        *(b"If-None-Match: " + _TAG, b'If-None-Match: W/"x", ' + _TAG, b"If-None-Match: *"),
        *(b"If-None-Match: nonsense", b"If-Modified-Since: " + _MODIFIED),
        *(b"If-Modified-Since: Mon, 13 Nov 2023 20:00:00 GMT", b"if-modified-since: never"),
        *(
            b"Cache-Control: only-if-cached",
            b"Cache-Control: no-cache",
            b"cache-control: max-age=0",
        ),
        *(b"traceparent: " + _TRACE, b"traceparent: nonsense", b"Traceparent:  " + _TRACE + b" "),
        *(b"X-Request-ID: mine-1", b"X-Request-ID: <script>", b"X-Request-Id:", b"X-Extra: 1"),
        *(b"Connection: keep-alive", b"Connection: close", b"Connection: Keep-Alive, X-Extra"),
        *(b"Content-Length: 0", b"Upgrade: websocket", b"Expect: 100-continue", b"TE: trailers"),
        *(b"Accept: */*", b"Accept-Encoding: gzip", b"Range: bytes=0-1", b"Transfer-Encoding: x"),
        *(b"Host: b", b"Bad Name: 1", b"Cookie: a=1"),
    ]
)


@st.composite
def _sent(draw: st.DrawFn) -> tuple[bytes, ...]:
    """A head, mostly sound, as a whole or in two pieces."""
    usual = [b"Host: a"] if draw(st.integers(0, 9)) else []
    usual += [b"Authorization: Bearer t-1"] if draw(st.integers(0, 4)) else []
    fields = draw(st.permutations([*usual, *draw(st.lists(_fields, max_size=3))]))
    line = b" ".join((draw(_methods), draw(_targets), draw(_versions)))
    head = b"\r\n".join((line, *fields, b"", b""))
    if draw(st.integers(0, 5)):
        return (head,)
    cut = draw(st.integers(1, len(head) - 1))
    return head[:cut], head[cut:]


# Sums of these are exact, so both ways compute the same age, in whatever order.
_later = st.sampled_from([0.0, 0.0, 0.5, 1.0, 5.0, 29.0, 31.0, 120.0, 400.0])
_steps = st.lists(st.builds(Step, _later, _sent(), st.integers(1, 4)), min_size=1, max_size=5)


def world(access: Access, *, short: bool) -> Door:
    """A data plane of its own, behind a door of its own."""
    data = Data(access=access, forward=frozenset((b"x-extra",)))
    data.upstream.always = upstream
    return Door(data, short=short)


async def play(door: Door, steps: list[Step]) -> list[tuple[bytes, str]]:
    """What comes back at each step, and how the connection ended, if it did."""
    told = []
    for step in steps:
        door.data.clock.advance(step.later)
        for _ in range(step.again):
            if door.line.is_closing():
                door.connect()
            told.append((await door.ask(*step.sent), door.line.end()))
    return told


@settings(max_examples=60, deadline=None)
@given(mode=st.sampled_from(sorted(ACCESS)), steps=_steps)
async def test_both_ways_say_the_same(mode: str, steps: list[Step]) -> None:
    """Bytes, ends of connections, metrics, access lines and calls upstream."""
    access = ACCESS[mode]
    short, long = world(access, short=True), world(access, short=False)

    said, expected = await play(short, steps), await play(long, steps)

    assert said == expected
    assert short.data.observer.calls == long.data.observer.calls
    assert short.data.access_log.lines == long.data.access_log.lines
    assert short.data.upstream.calls == long.data.upstream.calls
    assert short.refused == long.refused
    assert short.state.total_requests == long.state.total_requests


async def test_what_is_answered_the_short_way() -> None:
    """Fresh, not modified, not there, stale: without a task; so the test above compares two."""
    door = world(PASSTHROUGH, short=True)
    for name in ("a", "missing"):
        await door.ask(get(name))
    made = door.wire.cycle

    for later, head in (
        (1.0, get("a")),
        (1.0, get("a", b"If-None-Match: " + _TAG)),
        (1.0, get("a", method=b"HEAD")),
        (1.0, get("missing")),
        (40.0, get("a")),
    ):
        door.data.clock.advance(later)
        await door.ask(head)

    assert door.wire.cycle is made or door.wire.cycle.response_complete
    outcomes = [each[0] for each in door.data.observer.of("requested")]
    short = outcomes[2:]
    assert short == [
        *(Outcome.FRESH, Outcome.FRESH, Outcome.FRESH, Outcome.NEGATIVE),
        Outcome.STALE_REFRESHING,
    ]
    assert door.wire.cycle is made


async def test_batches_and_lists_are_answered_the_short_way() -> None:
    """Without a task, also if a caller has part of it already; not if one is missing. A hundred
    trainings are the most."""
    door = world(PASSTHROUGH, short=True)
    for name in ("a", "b"):
        await door.ask(get(name))
    made = door.wire.cycle

    answers = [await door.ask(many(ids)) for ids in (b"a", b"b,a", b"b,a")]

    assert door.wire.cycle is made
    assert all(each.startswith(b"HTTP/1.1 200 OK\r\n") for each in answers)
    assert b"cache-status: gateway; hit; ttl=30; detail=batch\r\n" in answers[1]
    assert door.data.items == {Outcome.FRESH: 5}
    await door.ask(many(b"a,missing"))
    assert door.wire.cycle is not made
    await door.ask(many(b"2", b"limit"))
    made = door.wire.cycle
    again = await door.ask(many(b"2", b"limit"))
    assert door.wire.cycle is made
    assert b"detail=list\r\n" in again
    ids = [f"a{each}" for each in range(101)]
    for each in ids:
        await door.ask(get(each))
    answers = [await door.ask(many(",".join(ids[:count]).encode())) for count in (100, 101)]
    assert [said[9:12] for said in answers] == [b"200", b"400"]


def many(what: bytes, name: bytes = b"ids") -> bytes:
    """A request for several."""
    return get("a").replace(b"/training/a", b"/training?%b=%b" % (name, what))


class Redis:
    """What Confirming sees of it."""

    def __init__(self) -> None:
        self.is_up = self.holds_bodies = True


async def warm(redis: Redis) -> Door:
    """A connection to a plane that holds `a`, confirmed with that Redis just now."""
    door = world(PASSTHROUGH, short=True)
    await door.ask(get("a"))
    shared: SharedStore = redis  # type: ignore[assignment]
    door.data.tiers.confirming._shared = shared
    held(door).checked_at = door.data.clock.monotonic()
    door.connect()
    door.data.clock.advance(0.3)
    assert is_answered(door)
    return door


def held(door: Door) -> Held:
    """What L1 holds of it."""
    found = door.data.local.peek((PASSTHROUGH.admit((b"Bearer t-1",)).partition, "a"))
    assert found is not None
    return found


def is_answered(door: Door) -> bool:
    """Whether the answer was there as soon as the bytes were; else another connection is made."""
    before = len(door.line.writes)
    door.feed(get("a"))
    if len(door.line.writes) > before:
        return True
    door.connect()
    return False


async def test_what_is_doubted_is_not_given_again() -> None:
    """Not even within the second for which it was rendered."""
    door = await warm(Redis())
    assert is_answered(door)

    held(door).doubt()

    assert not is_answered(door)


async def test_what_is_suspect_is_not_given_again() -> None:
    """A gap on the bus concerns all that was rendered."""
    door = await warm(Redis())

    door.data.clock.advance(0.1)
    door.data.tiers.confirming.suspect()

    assert not is_answered(door)


async def away_and_back(redis: Redis) -> Door:
    """Where a hit was given without Redis, which is there again."""
    door = await warm(redis)
    redis.is_up = False
    door.data.clock.advance(6.3)
    assert is_answered(door)
    assert is_answered(door)
    redis.is_up = True
    return door


async def test_what_was_given_unconfirmed_is_given_for_two_seconds_more() -> None:
    """Once all of Redis is back, until it was asked."""
    door = await away_and_back(Redis())

    assert is_answered(door)
    door.data.clock.advance(1.9)
    assert is_answered(door)
    door.data.clock.advance(0.2)
    assert not is_answered(door)


async def test_what_is_read_is_due_for_confirmation() -> None:
    """And not given any more when that did not come."""
    door = await warm(Redis())
    confirming = door.data.tiers.confirming

    held(door).checked_at -= 0.2  # not when the age changes

    door.data.clock.advance(1.0)
    assert is_answered(door)
    assert len(confirming._due) == 1
    door.data.clock.advance(3.4)
    assert is_answered(door)
    door.data.clock.advance(0.2)

    assert not is_answered(door)


async def test_the_age_follows_the_shared_clock() -> None:
    """At once."""
    door = await warm(Redis())
    assert b"age: 0\r\n" in door.line.writes[-1]

    for told, tell in ((7, 7.0), (2, -5.0)):
        door.data.clock.step(tell)
        assert is_answered(door)
        assert b"age: %d\r\n" % told in door.line.writes[-1]
    held(door).checked_at = door.data.clock.monotonic()
    for told, later in ((2, 0.6), (3, 0.2)):
        door.data.clock.advance(later)
        assert is_answered(door)
        assert b"age: %d\r\n" % told in door.line.writes[-1]
