"""Answers of the data plane as HTTP: bodies, validators, HEAD, what passes and what is said."""

from __future__ import annotations

import pytest

from gateway.core.http.fields import Reply
from gateway.core.vocabulary import Outcome
from tests.unit.web.planes import AUTHORIZED, Data, bytes_sent, problem_word, training_reply

JSON = (b"content-type", b"application/json")


async def test_cache_status_tells_miss_hit_and_change() -> None:
    """The words of a miss, a hit, an answer kept while it is refreshed, and the new version."""
    data = Data(training_reply("a"), training_reply("a", words="new"))

    miss = await data.ask("/training/a")
    data.clock.advance(7.5)
    hit = await data.ask("/training/a")
    data.clock.advance(30.0)
    stale = await data.ask("/training/a")
    await data.serving.under_way.land(1.0)
    fresh = await data.ask("/training/a")

    assert [each.headers["cache-status"] for each in (miss, hit, stale, fresh)] == [
        "gateway; fwd=uri-miss; fwd-status=200; stored",
        "gateway; hit; ttl=22; detail=l1",
        "gateway; hit; ttl=-8; detail=stale-refreshing",
        "gateway; hit; ttl=30; detail=l1",
    ]
    assert [each.headers["age"] for each in (miss, hit, stale, fresh)] == ["0", "7", "37", "0"]
    assert fresh.json()["title"] == "new"


async def test_a_hit_has_the_fields_of_the_contract() -> None:
    """Validators, version, freshness and who it depends on; end-to-end fields of upstream."""
    data = Data(training_reply("a", (b"x-cluster", b"eu"), (b"set-cookie", b"c=1")))
    await data.ask("/training/a")

    headers = (await data.ask("/training/a")).headers

    assert headers["cache-control"] == "private, max-age=30"
    assert headers["vary"] == "Authorization"
    assert headers["training-updated-at"] == "2023-11-14T20:00:00Z"
    assert headers["last-modified"] == "Tue, 14 Nov 2023 20:00:00 GMT"
    assert headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert headers["x-cluster"] == "eu"
    assert headers["etag"].startswith('"')
    assert "set-cookie" not in headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("if-none-match", '"v1"'),
        ("if-none-match", 'W/"v1"'),
        ("if-none-match", '"v0", "v1"'),
        ("if-none-match", "*"),
        ("if-modified-since", "Tue, 14 Nov 2023 20:00:00 GMT"),
    ],
)
async def test_who_has_it_already_gets_304(name: str, value: str) -> None:
    """No body, and of the fields those that a 304 carries; from the first answer on."""
    data = Data(training_reply("a", (b"etag", b'"v1"')))

    for _ in range(2):
        response = await data.ask("/training/a", headers=AUTHORIZED | {name: value})

        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == '"v1"'
        assert "cache-status" in response.headers
        assert not {"content-type", "content-length"} & response.headers.keys()


@pytest.mark.parametrize(
    "conditions",
    [
        {"if-none-match": '"v2"'},
        {"if-none-match": "v1"},
        {"if-modified-since": "Tue, 14 Nov 2023 19:59:59 GMT"},
        {"if-modified-since": "yesterday"},
        {"if-none-match": '"v2"', "if-modified-since": "Tue, 14 Nov 2023 20:00:00 GMT"},
    ],
)
async def test_who_has_another_version_gets_all_of_it(conditions: dict[str, str]) -> None:
    """A date does not count beside an ETag, and what is no condition is none."""
    data = Data(training_reply("a", (b"etag", b'"v1"')))

    response = await data.ask("/training/a", headers=AUTHORIZED | conditions)

    assert response.status_code == 200
    assert response.content


async def test_if_none_match_may_come_in_several_fields() -> None:
    """They are one list (RFC 9110, 5.3)."""
    data = Data(training_reply("a", (b"etag", b'"v1"')))
    fields = [*AUTHORIZED.items(), ("if-none-match", '"v0"'), ("if-none-match", '"v1"')]

    assert (await data.ask("/training/a", headers=fields)).status_code == 304


async def test_head_is_get_without_the_body() -> None:
    """The same status and fields, for an answer and for a problem."""
    data = Data(training_reply("a"))
    await data.ask("/training/a")

    for path in ("/training/a", "/training/..", "/nothing"):
        got, head = await data.ask(path), await data.ask(path, "HEAD")

        assert head.status_code == got.status_code
        assert head.headers == got.headers
        assert await bytes_sent(data.application, path, "GET") == len(got.content) > 0
        assert await bytes_sent(data.application, path, "HEAD") == 0


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
async def test_the_apis_word_to_the_caller_passes(status: int) -> None:
    """Its status, bytes and fields; not to be stored, no validator, and no problem of ours."""
    body = b'{"statusCode": %d, "message": "no"}' % status
    fields = (JSON, (b"x-why", b"because"), (b"etag", b'"e"'), (b"connection", b"close"))
    data = Data(Reply(status, fields, body))

    response = await data.ask("/training/a")

    assert (response.status_code, response.content) == (status, body)
    assert response.headers["x-why"] == "because"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["cache-status"] == f"gateway; fwd=uri-miss; fwd-status={status}"
    assert not {"etag", "connection"} & response.headers.keys()


async def test_only_if_cached_never_calls() -> None:
    """Nothing stored is a 504, something stored a hit; the directive may stand anywhere."""
    data = Data(training_reply("a"))
    directive = AUTHORIZED | {"cache-control": "max-age=5, Only-If-Cached"}

    assert problem_word(await data.ask("/training/a", headers=directive)) == "only-if-cached"
    assert data.access_log.lines[0].outcome is Outcome.REJECTED
    await data.ask("/training/a")
    assert (await data.ask("/training/a", headers=directive)).status_code == 200
    assert data.upstream.count == 1


@pytest.mark.parametrize("heeds", [True, False])
async def test_a_reload_asks_the_upstream_where_wishes_are_heard(heeds: bool) -> None:
    """And is an ordinary hit where they are not; the hot path leaves both alike."""
    data = Data(training_reply("a"), training_reply("a", words="new"), heeds_directives=heeds)
    reload = {**AUTHORIZED, "Cache-Control": "no-cache"}
    await data.ask("/training/a")

    again = await data.ask("/training/a", headers=reload)

    assert again.headers["cache-status"] == (
        "gateway; fwd=request; fwd-status=200; stored; detail=changed"
        if heeds
        else "gateway; hit; ttl=30; detail=l1"
    )
    assert data.upstream.count == 1 + heeds


LONG = "again and again " * 200


async def test_who_takes_it_compressed_is_given_the_same() -> None:
    """With a tag of its own, by which it is confirmed; a caller that does not take it is told that
    both are there. L1 counts both forms."""
    data = Data(training_reply("a", words=LONG))
    zipped = {**AUTHORIZED, "Accept-Encoding": "gzip"}
    plain = await data.ask("/training/a", headers={**AUTHORIZED, "Accept-Encoding": "identity"})
    before = data.local.size

    coded = await data.ask("/training/a", headers=zipped)

    assert data.local.size > before + int(coded.headers["content-length"])
    assert coded.content == plain.content  # httpx has undone it
    assert coded.headers["content-encoding"] == "gzip"
    assert int(coded.headers["content-length"]) < len(plain.content)
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]
    assert plain.headers["etag"] != coded.headers["etag"]
    for headers, etag in ((zipped, coded.headers["etag"]), (AUTHORIZED, plain.headers["etag"])):
        asked = {"Accept-Encoding": "identity", **headers, "If-None-Match": etag}
        again = await data.ask("/training/a", headers=asked)
        assert (again.status_code, again.headers["etag"]) == (304, etag)
    assert data.upstream.count == 1


async def test_an_answer_with_no_transform_is_not_compressed() -> None:
    """It keeps the digest of its bytes, and caches behind the gateway are told too."""
    theirs = ((b"cache-control", b"no-cache, No-Transform"), (b"content-digest", b"sha-256=:AA=:"))
    data = Data(training_reply("a", *theirs, words=LONG))

    for _ in range(2):
        answer = await data.ask("/training/a", headers={**AUTHORIZED, "Accept-Encoding": "gzip"})

        assert "content-encoding" not in answer.headers
        assert answer.headers["content-digest"] == "sha-256=:AA=:"
        assert answer.headers["cache-control"] == "private, max-age=30, no-transform"
        assert answer.headers["vary"] == "Authorization"


async def test_what_gains_nothing_by_it_is_not_compressed() -> None:
    """A short one is as it is, and says nothing of a choice."""
    data = Data(training_reply("a"))

    answer = await data.ask("/training/a", headers={**AUTHORIZED, "Accept-Encoding": "gzip"})

    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Authorization"
