"""`GET /training` without `ids`: the API's list, forwarded and kept."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.core.access.caller import Client, Clients, Open, Tenant, digest_of
from gateway.core.budget.window_log import Rate
from gateway.core.errors import UpstreamUnreachable
from gateway.core.http.fields import Headers, Reply
from gateway.core.vocabulary import FailureReason, Mode, NoticeKind, Outcome, Purpose
from gateway.ports import Call, Notice
from tests.unit.flow.house import settle
from tests.unit.web.planes import (
    AUTHORIZED,
    Data,
    ask,
    bytes_sent,
    problem_word,
    training_reply,
)

JSON = (b"content-type", b"application/json; charset=utf-8")
LIST = "/training?limit=2&offset=0"
OTHER = AUTHORIZED | {"authorization": "Bearer t-2"}
UNREACHABLE = UpstreamUnreachable("no", FailureReason.CONNECT, sent=False)
STALE = 30.5


def page(*ids: str, fields: Headers = (), **members: object) -> Reply:
    """A page of the list with these trainings, and other members."""
    items = b",".join(training_reply(each).body for each in ids)
    said = {"total": 9, "limit": 2, "offset": 0, "has_more": True} | members
    rest = json.dumps(said, separators=(",", ":")).encode()[1:]
    return Reply(200, (JSON, *fields), b'{"items":[' + items + b"]," + rest)


def says(status: int, *, proxy: bool = False) -> Reply:
    """An error of the API, or of a proxy in front of it."""
    code = {} if proxy else {"statusCode": status}
    return Reply(status, (JSON,), json.dumps({"message": "No", **code}).encode())


def a_plane(*script: Reply, **settings: Any) -> Data:
    """A data plane whose upstream has a list."""
    data = Data(*script, **settings)
    data.upstream.always = page("a", "b")
    return data


async def test_a_list_is_forwarded_once_and_kept() -> None:
    """With the caller's query and token, as a miss; then it is a hit, until it is stale."""
    data = a_plane()

    first = await data.ask("/training?type=BEHAVIORAL&limit=2&offset=0&search=x%20y")
    data.clock.advance(29.0)
    second = await data.ask("/training?offset=0&&search=x%20y&limit=2&type=BEHAVIORAL")
    data.clock.advance(2.0)
    third = await data.ask("/training?limit=2&offset=0&search=x%20y&type=BEHAVIORAL")

    (call, again) = data.upstream.calls
    assert call.query == b"limit=2&offset=0&search=x%20y&type=BEHAVIORAL"
    assert (call.token, call.purpose, again.purpose) == ("t-1", Purpose.MISS, Purpose.REVALIDATION)
    assert first.content == second.content == page("a", "b").body
    told = [each.headers["cache-status"] for each in (first, second, third)]
    assert told == [
        "gateway; fwd=uri-miss; fwd-status=200; stored; detail=list",
        "gateway; hit; ttl=1; detail=list",
        "gateway; fwd=stale; fwd-status=200; stored; detail=list",
    ]
    assert [each.headers["age"] for each in (first, second, third)] == ["0", "29", "0"]
    headers = second.headers
    assert headers["cache-control"] == "private, max-age=30"
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["vary"] == "Authorization"
    assert "last-modified" not in headers
    outcomes = [said[0] for said in data.observer.of("requested")]
    assert outcomes == [Outcome.FILLED, Outcome.FRESH, Outcome.FILLED]
    line = data.access_log.lines[1]
    assert (line.training_id, line.detail) == (None, "list")


async def test_partitions_and_queries_share_nothing() -> None:
    """Each has a call of its own."""
    data = a_plane()
    for headers in (AUTHORIZED, OTHER):
        for path in ("/training", "/training?limit=2", LIST):
            await data.ask(path, headers=headers)

    told = [(each.token, each.query) for each in data.upstream.calls]
    assert told == [
        (token, query)
        for token in ("t-1", "t-2")
        for query in (b"", b"limit=2", b"limit=2&offset=0")
    ]


@pytest.mark.parametrize(
    ("reply", "status", "detail"),
    [
        (page("a", offset=7), 200, "not-stored-drift"),
        (page("a", has_more=None), 200, "not-stored-drift"),
        (page("a", ".."), 200, "not-stored-drift"),
        (Reply(200, (JSON,), b'[{"id":"a"}]'), 200, "not-stored-drift"),
        (page("a", fields=((b"cache-control", b"no-store"),)), 200, "not-stored-no-store"),
        (says(400), 400, "list"),
        (says(401), 401, "list"),
        (says(403), 403, "list"),
        (says(404), 404, "list"),
        (says(404, proxy=True), 502, "upstream-error"),
        (says(500), 502, "upstream-error"),
        (says(429), 503, "upstream-rate-limited"),
        (Reply(200, ((b"content-type", b"text/html"),), b"<html>"), 502, "upstream-error"),
        (Reply(200, (JSON,), b'{"items":['), 502, "upstream-invalid"),
        (UNREACHABLE, 502, "upstream-unreachable"),
    ],
)
async def test_what_is_not_kept(reply: Reply | Exception, status: int, detail: str) -> None:
    """A list of another form is passed on, and so is what the API refuses; the next request asks
    again."""
    data = a_plane()
    data.upstream.always = reply

    response = await data.ask(LIST)

    assert response.status_code == status
    if isinstance(reply, Reply) and "cache-status" in response.headers:
        assert response.content == reply.body
        assert response.headers["cache-status"].endswith(f"; detail={detail}")
        assert "stored;" not in response.headers["cache-status"]
        assert response.headers["cache-control"] == "no-store"
    else:
        assert problem_word(response) == detail
    data.upstream.always = page("b")
    data.clock.advance(70.0)
    assert (await data.ask(LIST)).content == page("b").body


async def test_a_401_ends_what_is_stored_for_the_token() -> None:
    """Its lists too, and for ten seconds no call is made with it. Lists of others are kept."""
    data = a_plane()
    await data.ask("/training?limit=1")
    await data.ask(LIST, headers=OTHER)
    data.clock.advance(1.0)
    data.upstream.always = says(401)
    await data.ask(LIST)
    data.clock.advance(1.0)

    again = await data.ask("/training?limit=1")

    assert (again.status_code, problem_word(again)) == (401, "credential-unknown")
    assert (await data.ask(LIST, headers=OTHER)).headers["age"] == "2"
    assert data.upstream.count == 3


async def test_a_thousand_refused_tokens_leave_no_list_from_before_an_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the times of their orders are forgotten, all lists end."""
    monkeypatch.setattr("gateway.flow.cache.tiers._MOST_PARTITIONS", 3)
    data = a_plane()
    await data.ask(LIST)
    data.clock.advance(1.0)
    for number in range(6):
        await data.invalidation.refused(f"p{number}")

    await data.ask(LIST)

    assert data.upstream.count == 2


async def test_a_403_ends_the_kept_list() -> None:
    """It is not served when the API fails later."""
    data = a_plane()
    await data.ask(LIST)
    data.clock.advance(STALE)
    data.upstream.then(says(403), says(500))

    assert [(await data.ask(LIST)).status_code for _ in range(2)] == [403, 502]


async def test_a_refused_token_of_the_gateway_is_our_fault() -> None:
    """502, and the observer is told."""
    data = a_plane(says(401), access=Open("http://upstream.test", None, "ours"))

    response = await data.ask(LIST)

    assert (response.status_code, problem_word(response)) == (502, "upstream-refused")
    assert data.observer.of("token_refused") == [("default",)]


async def order(data: Data, kind: str) -> None:
    """An order, or a gap in which one was perhaps missed."""
    match kind:
        case "invalidate":
            await data.invalidation.invalidate(("any",), None, soft=True)
        case "written":
            await data.invalidation.written(("any",), "another partition")
        case "purge":
            await data.invalidation.purge(None, soft=True)
        case "notice":
            data.invalidation.apply(Notice(NoticeKind.INVALIDATED, ("any",)))
        case "gap":
            data.invalidation.gap()


@pytest.mark.parametrize("kind", ["invalidate", "written", "purge", "notice", "gap"])
async def test_an_order_ends_kept_lists(kind: str) -> None:
    """Also those that are under way, and what a cache in front of the API had before it."""
    data = a_plane()
    data.upstream.then(page("old"), page("late"), page("cached", fields=((b"age", b"5"),)))
    await data.ask("/training?limit=1")
    data.clock.advance(1.0)
    data.upstream.hold()
    asking = asyncio.create_task(data.ask(LIST))
    await settle()
    await order(data, kind)
    data.clock.advance(1.0)
    cached = asyncio.create_task(data.ask(LIST))
    await settle()
    data.upstream.release()

    responses = [await asking, await cached, await data.ask(LIST), await data.ask(LIST)]
    other = await data.ask("/training?limit=1")

    ids = [each.json()["items"][0]["id"] for each in (*responses, other)]
    assert ids == ["late", "cached", "a", "a", "a"]
    assert data.upstream.count == 5


@pytest.mark.parametrize(
    ("failure", "detail"),
    [(says(500), "fwd=stale; fwd-status=500; ttl=-1; detail=stale-error"),
     (UNREACHABLE, "fwd=stale; ttl=-1; detail=stale-error"),
     (None, "hit; ttl=-1; detail=stale-shielded")],
)  # fmt: skip
async def test_a_stale_list_is_served_if_the_api_fails(failure: Any, detail: str) -> None:
    """Within the stale window, and not after an order."""
    data = a_plane(limit=1 if failure is None else None)
    await data.ask(LIST)
    data.upstream.always = failure
    data.clock.advance(STALE)

    stale, count = await data.ask(LIST), data.upstream.count
    again = await data.ask(LIST)
    assert data.upstream.count == count
    await order(data, "purge")
    failed = await data.ask(LIST)

    assert stale.status_code == 200
    assert stale.headers["cache-status"] == f"gateway; {detail}"
    word = detail.rpartition("; ")[2]
    assert again.headers["cache-status"] == f"gateway; hit; ttl=-1; {word}"
    assert failed.status_code in (502, 503)


async def test_a_list_from_before_an_order_is_not_served_after_a_failure() -> None:
    """Also if the order came while the API was asked."""
    data = a_plane()
    await data.ask(LIST)
    data.clock.advance(STALE)
    data.upstream.always = says(500)
    data.upstream.hold()
    asking = asyncio.create_task(data.ask(LIST))
    await settle()
    await order(data, "purge")
    data.upstream.release()

    assert (await asking).status_code == 502


@pytest.mark.parametrize(("is_up", "status"), [(True, 502), (False, 200)])
async def test_a_replica_that_perhaps_misses_orders_asks_the_api(is_up: bool, status: int) -> None:
    """If the API fails, the kept list is served while Redis is away."""
    data = a_plane()
    await data.ask(LIST)
    vars(data.serving.confirming._bus).update(listed_until=0.0)
    vars(data.shared).update(is_up=is_up)
    data.upstream.then(says(500))

    stale = await data.ask(LIST)

    assert (stale.status_code, data.upstream.count) == (status, 2)


async def test_a_stale_list_is_too_old_after_the_window() -> None:
    """A day."""
    data = a_plane()
    await data.ask(LIST)
    data.upstream.always = says(500)
    data.clock.advance(STALE + 86_400.0)

    assert (await data.ask(LIST)).status_code == 502


@pytest.fixture
async def slow() -> Data:
    """The API is slow, and the kept list stale; the soft wait is short."""
    data = a_plane()
    data.lists._rules = type(data.lists._rules)(  # type: ignore[call-arg]
        type(data.lists._rules.windows)(soft_wait=0.01), vary=True
    )
    await data.ask(LIST)
    data.clock.advance(STALE)
    data.upstream.always = page("new")
    data.upstream.hold()
    return data


async def test_a_slow_call_is_waited_for_softly(slow: Data) -> None:
    """Then the stale list is served, and the call goes on."""
    stale = await slow.ask(LIST)
    slow.upstream.release()
    await slow.lists.flights.land(5.0)

    assert stale.headers["cache-status"] == "gateway; hit; ttl=-1; detail=stale-refreshing"
    assert (await slow.ask(LIST)).content == page("new").body


@pytest.mark.parametrize("what", ["order", "time"])
async def test_a_slow_call_is_waited_for_if_the_list_ends_meanwhile(slow: Data, what: str) -> None:
    """By an order, or because it is too old."""
    asking = asyncio.create_task(slow.ask(LIST))
    await settle()
    if what == "order":
        await order(slow, "purge")
    else:
        slow.clock.advance(86_400.0)
    await asyncio.sleep(0.05)
    slow.upstream.release()

    assert (await asking).content == page("new").body


async def test_equal_requests_at_once_share_a_call() -> None:
    """Those of one partition."""
    data = a_plane()
    data.upstream.hold()
    fields = (AUTHORIZED, AUTHORIZED, OTHER)
    asked = [asyncio.create_task(data.ask(LIST, headers=each)) for each in fields]
    await settle()
    data.upstream.release()

    told = [each.headers["cache-status"] for each in await asyncio.gather(*asked)]

    assert data.upstream.count == 2
    assert [each.endswith("stored; collapsed; detail=list") for each in told] == [0, 1, 0]
    assert Outcome.COLLAPSED in [said[0] for said in data.observer.of("requested")]


async def test_a_list_that_was_stale_when_it_came_makes_no_more_calls() -> None:
    """Its age is what the cache in front of the API says."""
    data = a_plane(page("a", fields=((b"age", b"40"),)))
    await data.ask(LIST)
    data.clock.advance(1.0)

    response = await data.ask(LIST)

    assert response.headers["cache-status"] == "gateway; hit; ttl=-11; detail=stale-shielded"
    assert (response.headers["age"], data.upstream.count) == ("41", 1)


@pytest.mark.parametrize("size", [2_000, 80_000])
async def test_conditions_codings_and_head(size: int) -> None:
    """A 304 for who has the list, with its own ETag when compressed; HEAD has no body."""
    data = a_plane()
    long = page("a", more="x" * size)
    data.upstream.always = long
    coding = AUTHORIZED | {"accept-encoding": "gzip"}
    whole = AUTHORIZED | {"accept-encoding": "identity"}
    plain = await data.ask(LIST, headers=whole)
    coded = await data.ask(LIST, headers=coding)
    tags = [each.headers["etag"] for each in (plain, coded)]

    same = await data.ask(LIST, headers=whole | {"if-none-match": tags[0]})
    same_coded = await data.ask(LIST, headers=coding | {"if-none-match": tags[1]})
    head = await data.ask(LIST, "HEAD", headers=whole)

    assert plain.content == coded.content == long.body
    assert coded.headers["content-encoding"] == "gzip"
    assert int(coded.headers["content-length"]) < size / 4
    assert tags[0] != tags[1]
    assert (same.status_code, same_coded.status_code, same.content) == (304, 304, b"")
    assert int(head.headers["content-length"]) == len(long.body)
    assert await bytes_sent(data.application, LIST, "HEAD") == 0
    assert data.upstream.count == 1


@pytest.mark.parametrize(
    ("query", "says"),
    [
        *((f"limit={each}", "`limit` has to be one whole number from 1 to 100")
          for each in ("0", "101", "-1", "1.5", "x", "", "1&limit=2", "%31", "9" * 30)),
        *((f"offset={each}", "`offset` has to be one whole number from 0 to")
          for each in ("-1", "x", "9" * 30, "0&offset=0")),
        ("search=%22caf\xe9", "the query has a character that a URL cannot have"),
        ("search=" + "x" * 2_000, "the query has 2007 bytes; 2000 are allowed"),
        ("limit=1&ids=a", "`ids` has to be the only parameter"),
    ],
)  # fmt: skip
async def test_a_query_that_is_not_accepted(query: str, says: str) -> None:
    """400 says what was wrong with it, and no call is made."""
    data = a_plane()
    raw = query.encode("latin-1")

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        await data.application({**scope, "query_string": raw}, receive, send)

    response = await ask(asked, "/training", headers=AUTHORIZED)

    assert (response.status_code, problem_word(response)) == (400, "bad-request")
    assert response.json()["detail"].startswith(says)
    assert data.upstream.count == 0


async def test_access_mode_and_rates_hold() -> None:
    """As for one training: 401, 429, 503 while frozen, 504 for `only-if-cached`."""
    web = Client("web", (digest_of("gw_web"),), "acme", Rate(3, 60.0))
    tenants = (Tenant("acme", "T-ACME", None),)
    data = a_plane(access=Clients.of("http://upstream.test", None, tenants, (web,)))
    ours = {"authorization": "Bearer gw_web"}

    missing = await data.ask(LIST, headers={})
    cached = await data.ask(LIST, headers=ours | {"cache-control": "only-if-cached"})
    await data.modes.order(Mode.FROZEN)
    frozen = await data.ask(LIST, headers=ours)
    await data.modes.order(Mode.NORMAL)
    listed = await data.ask(LIST, headers=ours)
    limited = await data.ask(LIST, headers=ours)

    problems = [problem_word(each) for each in (missing, cached, frozen, limited)]
    assert problems == ["credential-missing", "only-if-cached", "frozen", "client-rate-limited"]
    assert listed.status_code == 200
    assert [each.token for each in data.upstream.calls] == ["T-ACME"]


async def test_a_kept_list_is_not_for_other_forwarded_fields() -> None:
    """Requests with other fields do not share a call."""

    async def told(call: Call) -> Reply:
        return page(dict(call.extra)[b"x-org"].decode())

    data = a_plane(forward=frozenset({b"x-org"}))
    data.upstream.always = told
    data.upstream.hold()
    asked = [
        asyncio.create_task(data.ask(LIST, headers=AUTHORIZED | {"x-org": each}))
        for each in ("one", "two")
    ]
    await settle()
    data.upstream.release()

    ids = [each.json()["items"][0]["id"] for each in await asyncio.gather(*asked)]

    assert ids == ["one", "two"]
