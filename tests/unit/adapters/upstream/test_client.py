"""Unit: the call as a whole over a real connection."""

from __future__ import annotations

import asyncio
import gc
import gzip
from dataclasses import replace
from pathlib import Path

import httpcore
import pytest

from gateway.adapters.upstream.exchange import Exchange
from gateway.core.errors import InvalidPayload, UpstreamTimeout, UpstreamUnreachable
from gateway.core.vocabulary import InvalidReason, Purpose
from tests.unit.adapters.upstream.peers import (
    Dribbling,
    Peer,
    Watching,
    answer,
    request,
    settle,
    swallowing,
    upstream,
)


async def test_the_request_is_ours_to_the_last_field() -> None:
    """Nothing goes up but what the gateway means to say."""
    peer = Peer()
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.call(request("t1", etag=b'"v1"', extra=((b"X-Tenant", b"7"),)))

    assert peer.heads[0].startswith(b"GET /training/t1 HTTP/1.1\r\n")
    assert peer.fields() == [
        ("Host", url.removeprefix("http://")),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "training-gateway/1.2.3"),
        ("Authorization", "Bearer secret-token"),
        ("If-None-Match", '"v1"'),
        ("X-Tenant", "7"),
    ]


@pytest.mark.parametrize("training_id", ["...", "a..b", ".a", "~", "-_.~", "A" * 128, "a."])
async def test_the_id_is_sent_as_it_is(training_id: str) -> None:
    """No character that an id may have is quoted or normalised away."""
    peer = Peer()
    async with peer.listening() as url, upstream(f"{url}/v1/") as adapter:
        await adapter.call(request(training_id))

    assert peer.heads[0].split(b" ")[1] == b"/v1/training/" + training_id.encode()


async def test_the_answer_comes_whole_and_clean() -> None:
    """Status, body and end-to-end fields as they came, interim answers skipped."""
    interim = answer(b"Link: </x>", status=b"103 Early Hints")
    final = answer(
        *(b'ETag: W/"x"', b"Set-Cookie: a=b", b"Connection: X-Hop", b"X-Hop: 1"),
        *(b"Transfer-Encoding: chunked", b"cache-control: no-store"),
        status=b"418 Teapot",
        body=b'2\r\n{"\r\n3\r\n":}\r\n0\r\n\r\n',
    )
    async with Peer(interim + final).listening() as url, upstream(url) as adapter:
        reply = await adapter.call(request())

    assert (reply.status, reply.body) == (418, b'{"":}')
    assert reply.headers == ((b"etag", b'W/"x"'), (b"cache-control", b"no-store"))


async def test_white_space_around_a_value_is_no_part_of_it() -> None:
    """An `ETag` that carried it would not be the upstream's (RFC 9110, 5.5)."""
    fields = (b'ETag: \t "x" \t', b"X-Empty:", b"Content-Length: 2 ")
    async with Peer(answer(*fields, body=b"{}")).listening() as url, upstream(url) as adapter:
        reply = await adapter.call(request())

    assert reply.headers == ((b"etag", b'"x"'), (b"x-empty", b""))


async def test_cookies_are_not_replayed() -> None:
    """A cookie set for one caller is not sent for the next."""
    peer = Peer(answer(b"Set-Cookie: a=b; Path=/", b"Content-Length: 0"))
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.call(request())
        await adapter.call(request())

    assert "Cookie" not in dict(peer.fields())


@pytest.mark.parametrize("location", [b"/training/t2", b"https://[oops", b"ftp://\xff"])
async def test_redirects_are_answers(location: bytes) -> None:
    """A redirect is handed back, not followed, wherever it leads."""
    peer = Peer(answer(b"Location: " + location, b"Content-Length: 0", status=b"302 Found"))
    async with peer.listening() as url, upstream(url) as adapter:
        reply = await adapter.call(request())

    assert (reply.status, reply.header(b"location")) == (302, location)
    assert len(peer.heads) == 1


async def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Proxies and netrc credentials of the environment are not used."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mallory password x\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    peer = Peer()
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.call(request())

    assert dict(peer.fields())["Authorization"] == "Bearer secret-token"


async def test_a_304_may_state_a_length() -> None:
    """The length of the body that a 304 does not carry is no reason to refuse or to wait."""
    reply = answer(b"Content-Length: 99999", b"Content-Encoding: gzip", status=b"304 Not Modified")
    async with Peer(reply).listening() as url, upstream(url) as adapter:
        got = await adapter.call(request(etag=b'"x"'))

    assert (got.status, got.body, got.headers) == (304, b"", ())


async def test_an_encoding_nobody_asked_for_is_undone() -> None:
    """The body is decoded, and the fields that are no longer true are gone."""
    body = gzip.compress(b'{"id":"t1"}')
    length = b"Content-Length: %d" % len(body)
    reply = answer(length, b"Content-Encoding: GZIP", b"Date: now", body=body)
    async with Peer(reply).listening() as url, upstream(url) as adapter:
        got = await adapter.call(request())

    assert (got.body, got.headers) == (b'{"id":"t1"}', ((b"date", b"now"),))


@pytest.mark.parametrize("coding", ["br", "\u20ac", "gzip, br"])
async def test_an_unknown_coding_is_passed_on_or_refused(coding: str) -> None:
    """Whatever bytes name it."""
    reply = answer(b"Content-Length: 2", b"Content-Encoding: " + coding.encode(), body=b"xy")
    async with Peer(reply).listening() as url:
        async with upstream(url, passes_codings=True) as adapter:
            got = await adapter.call(request())
        async with upstream(url) as adapter:
            with pytest.raises(InvalidPayload):
                await adapter.call(request())

    assert got.headers == ((b"content-encoding", coding.encode()),)
    assert got.body == b"xy"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(b"Content-Length: 1001"), id="announced"),
        pytest.param(
            answer(b"Transfer-Encoding: chunked", body=b"400\r\n" + b" " * 1024 + b"\r\n"),
            id="chunked",
        ),
        pytest.param(answer(b"Server: old", body=b" " * 1001), id="until closed"),
    ],
)
async def test_a_body_over_the_bound_is_not_read_to_its_end(reply: bytes) -> None:
    """Each peer keeps its body open: the call ends since it stops reading."""
    async with Peer(reply).listening() as url, upstream(url) as adapter:
        with pytest.raises(InvalidPayload) as caught:
            await adapter.call(request())

    assert caught.value.invalid is InvalidReason.TOO_LARGE


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        pytest.param(b"Content-Length: 2", b"{}", id="length"),
        pytest.param(b"Content-Length: 0", b"", id="empty"),
        pytest.param(b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n", id="chunked"),
    ],
)
@pytest.mark.parametrize("peer_of", [Peer, Dribbling])
async def test_connections_are_kept(peer_of: type[Peer], fields: bytes, body: bytes) -> None:
    """Two calls in a row share a connection, however a body is framed and in whatever pieces it
    comes."""
    peer = peer_of(answer(fields, body=body))
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.call(request())
        await adapter.call(request())

    assert (peer.connections, len(peer.heads)) == (1, 2)


# What a call is made of. Twenty such objects a call had the garbage collector stop the loop.
LEFT = (Exchange, httpcore.Request, httpcore.Response)


async def test_a_call_leaves_nothing_behind() -> None:
    """An idle connection holds no part of it, and the garbage collector has nothing to find."""
    gc.collect()
    gc.disable()
    try:
        async with Peer().listening() as url, upstream(url) as adapter:
            for _ in range(2):
                await adapter.call(request())
            held = [each for each in gc.get_objects() if isinstance(each, LEFT)]
    finally:
        gc.enable()

    assert held == []


async def test_a_kept_connection_that_was_closed_meanwhile_is_not_used() -> None:
    """What the peer closes between two calls is noticed before the second one is sent."""
    peer = Peer(closes=True)
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.call(request())
        await settle()
        await adapter.call(request())

    assert peer.connections == 2


async def test_the_observer_sees_pairs() -> None:
    """Each call is told once as started and once as ended, with its status or without one."""
    observer = Watching()
    async with Peer().listening() as url, upstream(url, observer=observer) as adapter:
        await adapter.call(request())
        with pytest.raises(UpstreamTimeout):
            await adapter.call(request(within=-1.0))
        leaving = asyncio.create_task(adapter.call(request()))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

    assert observer.started == [Purpose.MISS] * 3
    assert observer.ended == [(Purpose.MISS, 200), (Purpose.MISS, None), (Purpose.MISS, None)]


@pytest.mark.parametrize(("flags", "told"), [(b"01", b"a" * 32), (b"00", None)])
async def test_a_sampled_trace_is_told_and_passed_on(flags: bytes, told: bytes | None) -> None:
    """One that nobody keeps is passed on alone."""
    observer, peer = Watching(), Peer()
    trace = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-" + flags
    async with peer.listening() as url, upstream(url, observer=observer) as adapter:
        await adapter.call(replace(request(), extra=((b"traceparent", trace),)))

    assert observer.traces == [told]
    assert trace in peer.heads[0]


async def test_reachable_spends_no_call() -> None:
    """The check connects and says nothing."""
    peer = Peer()
    async with peer.listening() as url, upstream(url) as adapter:
        await adapter.reachable()
        await settle()

    assert (peer.connections, peer.heads) == (1, [])


async def test_reachable_says_what_is_wrong() -> None:
    """Without a connection the check fails as a call would."""
    with swallowing() as url:
        async with upstream(url, connect_timeout=0.05) as adapter:
            with pytest.raises(UpstreamTimeout):
                await adapter.reachable()
    async with upstream("http://127.0.0.1:1") as adapter:
        with pytest.raises(UpstreamUnreachable):
            await adapter.reachable()
