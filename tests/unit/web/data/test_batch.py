"""`GET /training?ids=…`: many trainings in one response."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from gateway.core.access.caller import Client, Clients, Tenant, digest_of
from gateway.core.budget.window_log import Rate
from gateway.core.cache.entry import Key
from gateway.core.errors import UpstreamUnreachable
from gateway.core.http.cache_status import Handling
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import FailureReason, Forward, Mode, Outcome, Tier
from gateway.flow.answer import Answer
from gateway.ports import Call
from gateway.web.data import batch
from tests.unit.web.planes import AUTHORIZED, Data, bytes_sent, problem_word, training_reply

JSON = (b"content-type", b"application/json")
NO_SUCH = Reply(404, (JSON,), b'{"statusCode":404,"message":"no such training"}')


async def any_training(call: Call) -> Reply:
    """Each id is a training, but for `none`."""
    return NO_SUCH if call.training_id == "none" else training_reply(call.training_id)


def a_plane(**settings: Any) -> Data:
    """A data plane whose upstream has any training."""
    data = Data(**settings)
    data.upstream.always = any_training
    return data


def said(response: httpx.Response) -> list[tuple[str, int, str | None]]:
    """Of each item: id, status, and how the cache handled it."""
    items = response.json()["items"]
    return [(item["id"], item["status"], item.get("cache")) for item in items]


async def test_each_id_is_answered_as_alone() -> None:
    """In the order of the first of each, with the upstream's bytes; one request, one count each."""
    data = a_plane()
    alone = await data.ask("/training/b")
    data.clock.advance(3.0)

    response = await data.ask("/training?ids=b,a,none,b,a")

    assert response.status_code == 200
    assert said(response) == [
        ("b", 200, "hit; detail=l1"),
        ("a", 200, "fwd=uri-miss; fwd-status=200; stored"),
        ("none", 404, "fwd=uri-miss; fwd-status=404; stored"),
    ]
    first, _, last = response.json()["items"]
    assert b'"training":' + alone.content in response.content
    assert first["age"] == 3
    assert first["updated_at"] == alone.headers["training-updated-at"]
    assert last["error"] == json.loads(NO_SUCH.body)
    assert "training" not in last
    assert data.upstream.count == 3
    assert data.items == {Outcome.FRESH: 1, Outcome.FILLED: 2}
    assert said(await data.ask("/training?ids=none")) == [("none", 404, "hit; detail=negative")]


async def test_the_fields_are_those_of_the_least_fresh() -> None:
    """The oldest age, the least that is left, and hit if all are."""
    data = a_plane()
    await data.ask("/training/a")
    data.clock.advance(7.0)
    await data.ask("/training/b")

    response = await data.ask("/training?ids=b,a")

    headers = response.headers
    assert headers["cache-status"] == "gateway; hit; ttl=23; detail=batch"
    assert (headers["age"], headers["cache-control"]) == ("7", "private, max-age=23")
    assert headers["vary"] == "Authorization"
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"] == "made-here"
    assert data.access_log.lines[-1].detail == "batch"
    assert data.upstream.count == 2


async def test_a_batch_of_hits_makes_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """L1 answers without a task or a look-up for each id."""
    data = a_plane()
    await data.ask("/training?ids=a,b,c")
    monkeypatch.setattr(batch, "gathered", None)

    assert (await data.ask("/training?ids=c,b,a")).status_code == 200


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("ids=", "`ids` has '', which is no id"),
        ("ids=a,,b", "`ids` has '', which is no id"),
        ("ids=a,b%2Fc", "`ids` has 'b/c', which is no id"),
        ("ids=a,%C3%A9", "`ids` has '\\xc3\\xa9', which is no id"),
        ("ids=a," + "b" * 200, f"`ids` has '{'b' * 40}', which is no id"),
        ("ids=" + ",".join(f"t{n}" for n in range(101)), "`ids` names 101 trainings; 100 are"),
        ("ids=a&limit=3", "`ids` has to be the only parameter"),
        ("limit=3&ids=a", "`ids` has to be the only parameter"),
        ("ids=a&ids=b", "`ids` has to be the only parameter"),
    ],
)
async def test_a_query_that_is_no_batch(query: str, says: str) -> None:
    """400 says what was wrong with it, and no call is made."""
    data = a_plane()

    response = await data.ask(f"/training?{query}")

    assert (response.status_code, problem_word(response)) == (400, "bad-request")
    assert response.json()["detail"].startswith(says)
    assert data.upstream.count == 0


async def test_a_hundred_ids_and_a_comma_as_octets() -> None:
    """Repeated ids count once; the query is decoded once."""
    data = a_plane()
    ids = [f"t{n}" for n in range(100)]

    response = await data.ask("/training?ids=" + "%2C".join([*ids, *ids]))

    assert [each[0] for each in said(response)] == ids


async def test_what_fails_is_told_beside_the_others() -> None:
    """With its status and problem, and when to ask again; it is not fresh."""
    data = a_plane(limit=2)

    response = await data.ask("/training?ids=a,b,c,d")

    items = response.json()["items"]
    assert [item["status"] for item in items] == [200, 200, 503, 503]
    assert items[2]["error"]["type"] == "urn:gateway:problem:budget-exhausted"
    assert 1 <= items[2]["retry_after"] <= 66
    assert response.headers["cache-control"] == "private, max-age=0"
    assert data.items == {Outcome.FILLED: 2, Outcome.FAILED: 2}


async def test_where_all_fail() -> None:
    """There is no age and no `Cache-Status`, as alone; the request counts as failed."""
    data = Data()
    data.upstream.always = UpstreamUnreachable("no", FailureReason.CONNECT, sent=False)

    response = await data.ask("/training?ids=a,b")

    assert [item["status"] for item in response.json()["items"]] == [502, 502]
    assert {"age", "cache-status"}.isdisjoint(response.headers)
    assert data.observer.of("requested")[-1][0] is Outcome.FAILED


async def test_a_bug_in_one_item_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 for that item alone."""
    data = a_plane()
    look_up = data.serving.under_way.look_up

    def fails(key: Key) -> Any:
        if key.training_id == "b":
            raise RuntimeError("a bug")
        return look_up(key)

    monkeypatch.setattr(data.serving.under_way, "look_up", fails)

    response = await data.ask("/training?ids=a,b")

    assert [each[1] for each in said(response)] == [200, 500]


async def test_one_deadline_for_all() -> None:
    """What came by then is told, and the rest is a 504 whose call goes on and is stored."""
    data = a_plane(patience=0.05)
    await data.ask("/training/a")
    data.upstream.hold()

    response = await data.ask("/training?ids=a,b")
    data.upstream.release()
    await data.serving.under_way.land(1.0)

    assert [each[1] for each in said(response)] == [200, 504]
    assert said(await data.ask("/training?ids=b")) == [("b", 200, "hit; detail=l1")]


async def test_a_hit_grows_older_while_the_others_are_fetched() -> None:
    """Its age is that of the moment of the response. A call is as old as the question."""
    data = a_plane()
    await data.ask("/training/a")

    async def connect() -> None:
        data.clock.advance(9.0)

    data.upstream.connect = connect
    response = await data.ask("/training?ids=a,b")

    assert [item["age"] for item in response.json()["items"]] == [9, 9]
    assert response.headers["cache-control"] == "private, max-age=21"


async def test_another_error_of_the_api_is_another_response() -> None:
    """Also with the same status."""
    data, tags = a_plane(), []
    for word in (b"no", b"never"):
        body = b'{"statusCode":403,"message":"%b"}' % word
        data.upstream.always = Reply(403, (JSON,), body)
        tags.append((await data.ask("/training?ids=a")).headers["etag"])

    assert tags[0] != tags[1]


async def test_a_caller_that_goes_leaves_no_task() -> None:
    """The waits of its items end."""
    data = a_plane()
    data.upstream.hold()
    before, arrived = asyncio.all_tasks(), asyncio.Event()

    async def connect() -> None:
        arrived.set()

    data.upstream.connect = connect
    asking = asyncio.ensure_future(data.ask("/training?ids=a,b,c"))
    await arrived.wait()
    asking.cancel()
    await asyncio.wait({asking})
    data.upstream.release()
    await data.serving.under_way.land(1.0)

    assert asyncio.all_tasks() == before


async def test_who_has_all_already_gets_304() -> None:
    """Until a version or a status changes; a new order of ids is another response."""
    data = a_plane()
    first = await data.ask("/training?ids=a,b")
    fields = AUTHORIZED | {"if-none-match": first.headers["etag"]}

    again = await data.ask("/training?ids=a,b", headers=fields)
    turned = await data.ask("/training?ids=b,a", headers=fields)
    data.upstream.always = training_reply("a", words="new")
    data.clock.advance(40.0)
    await data.ask("/training/a")
    await data.serving.under_way.land(1.0)
    changed = await data.ask("/training?ids=a,b", headers=fields)

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-type" not in again.headers
    assert [turned.status_code, changed.status_code] == [200, 200]


async def test_head_has_no_body() -> None:
    """And the fields of GET."""
    data = a_plane()

    head = await data.ask("/training?ids=a", "HEAD")

    assert int(head.headers["content-length"]) > 100
    assert await bytes_sent(data.application, "/training?ids=a", "HEAD") == 0


async def test_an_item_is_a_request_of_the_client() -> None:
    """Those beyond its rate are told so, and make no call; a batch beyond it is refused whole."""
    web = Client("web", (digest_of("gw_web"),), "acme", Rate(3, 60.0))
    tenants = (Tenant("acme", "T-ACME", None),)
    data = a_plane(access=Clients.of("http://upstream.test", None, tenants, (web,)))
    fields = {"authorization": "Bearer gw_web"}

    first = await data.ask("/training?ids=a,b,c,d,e", headers=fields)
    second = await data.ask("/training?ids=a", headers=fields)

    items = first.json()["items"]
    assert [item["status"] for item in items] == [200, 200, 200, 429, 429]
    assert items[3]["retry_after"] == 20
    assert first.headers["ratelimit"] == '"client";r=0;t=60'
    assert (second.status_code, problem_word(second)) == (429, "client-rate-limited")
    assert data.upstream.count == 3


async def test_nobody_gets_a_batch_without_a_credential() -> None:
    """401, as alone."""
    data = a_plane()

    response = await data.ask("/training?ids=a", headers={})

    assert (response.status_code, problem_word(response)) == (401, "credential-missing")
    assert data.upstream.count == 0


async def test_a_token_that_the_api_refuses() -> None:
    """The whole response is the API's 401, and the gateway's as long as it remembers this one."""
    data = a_plane()
    data.upstream.always = Reply(401, (JSON,), b'{"statusCode":401,"message":"no"}')

    response = await data.ask("/training?ids=a,b")
    again = await data.ask("/training?ids=a,b")

    assert response.status_code == 401
    assert response.json() == {"statusCode": 401, "message": "no"}
    assert "batch" not in response.headers["cache-status"]
    assert (again.status_code, problem_word(again)) == (401, "credential-unknown")
    assert "www-authenticate" in again.headers


async def test_callers_with_other_tokens_share_nothing() -> None:
    """Each has its own partition."""
    data = a_plane()
    await data.ask("/training?ids=a,b")

    other = await data.ask("/training?ids=a,b", headers={"authorization": "Bearer t-2"})

    assert [each[2] for each in said(other)] == ["fwd=uri-miss; fwd-status=200; stored"] * 2


async def test_frozen_and_minimum_versions_hold() -> None:
    """For each item."""
    data = a_plane()
    await data.ask("/training?ids=a")
    later = AUTHORIZED | {"training-min-updated-at": "2033-11-14T20:00:00Z"}

    missed = await data.ask("/training?ids=a", headers=later)
    await data.modes.order(Mode.FROZEN)
    frozen = await data.ask("/training?ids=a,b")

    assert [each[1] for each in said(missed)] == [412]
    assert [each[1] for each in said(frozen)] == [200, 503]


async def test_a_body_that_is_no_json_is_a_string() -> None:
    """The API's error for the caller may be any text, with `freshness.source = "origin"`. A 200
    that is passed on and not stored is a training."""
    reply = Reply(403, ((b"content-type", b"text/plain"),), b"not \xff you")
    answer = Answer(reply, Outcome.REJECTED, Tier.UPSTREAM, Handling(None, Forward.URI_MISS, 403))

    item = json.loads(batch.item_of("a", answer, 0.0, "id").text)

    assert item == {
        "id": "a",
        "status": 403,
        "cache": "fwd=uri-miss; fwd-status=403",
        "error": "not \ufffd you",
    }
    passed = answer._replace(content=Reply(200, (JSON,), b'{"id":"a"}'))
    assert json.loads(batch.item_of("a", passed, 0.0, "id").text)["training"] == {"id": "a"}


async def test_a_response_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no longer fits is a problem of its own."""
    monkeypatch.setattr(batch, "_MOST_BYTES", 200)
    data = a_plane()

    response = await data.ask("/training?ids=a,b,c")

    items = response.json()["items"]
    assert [item["status"] for item in items] == [200, 413, 413]
    assert items[1]["id"] == "b"
    assert "ask for less" in items[1]["error"]["detail"]
