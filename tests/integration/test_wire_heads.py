"""The smuggling list, request by request on raw sockets: refused in our own words, then closed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.simulator import RunningSimulator
from tests.integration.gateways import Planes, gateway
from tests.support.raw_http import GOOD, asked, calling, is_well

GET = b"GET /training/trn_000001 HTTP/1.1\r\n"
POST = b"POST /purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
AUTH = b"Authorization: Bearer demo-token\r\n"
HOST = b"Host: a\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: x\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(GOOD)

MALFORMED = {
    "no Host": GET + b"\r\n",
    "two Hosts": GET + HOST + HOST + b"\r\n",
    "two different Hosts": GET + HOST + b"host: b\r\n\r\n",
    "Host with a list": GET + b"Host: a, b\r\n\r\n",
    "Host with a space": GET + b"Host: a b\r\n\r\n",
    "Host with a path": GET + b"Host: a/b\r\n\r\n",
    "Host with a user": GET + b"Host: u@a\r\n\r\n",
    "two Hosts in HTTP/1.0": b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n",
    "length with chunked": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "chunked with length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "the same length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "a length in hex": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "an empty length": POST + b"Content-Length:\r\n\r\n{}",
    "a length that overflows": POST + b"Content-Length: 18446744073709551618\r\n\r\n{}",
    "another coding": POST + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "another coding, then chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, then another": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "nearly chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked behind a tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "an empty coding": POST + b"Transfer-Encoding:\r\n\r\n{}",
    "chunked in HTTP/1.0": b"POST /purge HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded field": GET + HOST + b"X: a\r\n b\r\n\r\n",
    "a field folded by a tab": GET + HOST + b"X: a\r\n\tb\r\n\r\n",
    "a folded Host": GET + b"Host:\r\n a\r\n\r\n",
    "a fold as the first line": GET + b" Host: a\r\n\r\n",
    "bare CR in a value": GET + HOST + b"X: a\rb\r\n\r\n",
    "bare CR at the end of a line": GET + HOST + b"X: a\r\r\n\r\n",
    "bare CR in the target": b"GET /\r HTTP/1.1\r\n" + HOST + b"\r\n",
    "bare LF after the request line": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "bare LF after a field": GET + b"Host: a\nX: y\r\n\r\n",
    "bare LF at the end": GET + HOST + b"\n",
    "NUL in a value": GET + HOST + b"X: a\0b\r\n\r\n",
    "NUL in a name": GET + HOST + b"X\0: a\r\n\r\n",
    "NUL in the target": b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a control character": GET + HOST + b"X: a\x01b\r\n\r\n",
    "a space before the colon": GET + b"Host : a\r\n\r\n",
    "a tab before the colon": GET + b"Host\t: a\r\n\r\n",
    "no colon": GET + HOST + b"X\r\n\r\n",
    "no name": GET + HOST + b": a\r\n\r\n",
    "a name in brackets": GET + HOST + b"X(y): a\r\n\r\n",
    "a name beyond ASCII": GET + HOST + b"\xc3\xa9: a\r\n\r\n",
    "two Authorizations": GET + HOST + AUTH + AUTH + b"\r\n",
    "two Authorizations in other cases": GET + HOST + AUTH + AUTH.lower() + b"\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/0.9 in words": b"GET / HTTP/0.9\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": b"GET / ICE/1.0\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "a method in lower case": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"FROB / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target without a slash": b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target of another scheme": b"GET ftp://a/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a user": b"GET http://u@a/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target without a host": b"GET http:///livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that is an authority": b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT to an absolute target": b"CONNECT http://a/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT with a body": b"CONNECT http://a/livez HTTP/1.1\r\n" + HOST + LENGTH + GOOD,
    "an upgrade with chunked": POST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an upgrade with two lengths": POST + UPGRADE + b"Content-Length: 2\r\n" + LENGTH + GOOD,
    "a target that is a star": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a fragment": b"GET /livez#a HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target beyond ASCII": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a tab": b"GET /a\tb HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a space": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.fixture
async def planes(upstream: RunningSimulator) -> AsyncIterator[Planes]:
    """Both planes, with nothing set."""
    async with gateway(upstream.base_url) as planes:
        yield planes


@pytest.mark.parametrize("chunks", ["whole", "byte by byte"])
async def test_what_is_malformed_is_refused_and_the_connection_closed(
    planes: Planes, chunks: str
) -> None:
    """On both planes; what is sent behind it is never looked at, and others are well."""
    faults: list[str] = []
    for name, raw in MALFORMED.items():
        for plane in (planes.data, planes.admin):
            pieces = [raw + GOOD] if chunks == "whole" else [bytes([each]) for each in raw]
            url = str(plane.base_url)
            async with calling(url) as caller:
                await caller.send(*pieces, pause=0)
                answer = await caller.told()
                closed = await caller.is_closed()
            if (answer.status, answer.word, closed) != (400, "bad-request", True):
                faults.append(f"{name}: {answer}, closed: {closed}")
    assert faults == []
    assert await is_well(str(planes.data.base_url))
    assert await planes.metric('gateway_access_refused_total{reason="malformed"}') == 2 * len(
        MALFORMED
    )


BODIES = {
    "a chunk of no number": b"zz\r\n",
    "a chunk in C": b"0x1\r\nx\r\n0\r\n\r\n",
    "a chunk with a bare LF": b"1\nx\r\n0\r\n\r\n",
    "a chunk longer than it says": b"1\r\nxy\r\n0\r\n\r\n",
    "a chunk that overflows": b"fffffffffffffffff\r\nx",
    "an extension with a bare LF": b"1;a\nb\r\nx\r\n0\r\n\r\n",
}


async def test_a_broken_body_is_no_order(planes: Planes) -> None:
    """Whatever was complete before it broke: nothing is purged by half a message."""
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
    told: dict[str, list[tuple[int, str]]] = {}
    for name, broken in BODIES.items():
        answers = await asked(str(planes.admin.base_url), head + broken + GOOD)
        told[name] = [(answer.status, answer.word) for answer in answers]

    assert told == {name: [(400, "bad-request")] for name in BODIES}
    assert await planes.metric("gateway_invalidations_total") == 0


async def test_what_follows_a_body_is_no_part_of_the_head(planes: Planes) -> None:
    """A trailer is dropped: here it would make the order JSON, there it would be a credential."""
    head = b"POST /purge HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    trailer = b"2\r\n{}\r\n0\r\nContent-Type: application/json\r\n\r\n"

    (answer,) = await asked(
        str(planes.admin.base_url), head + b"Connection: close\r\n\r\n" + trailer
    )

    assert (answer.status, answer.word) == (400, "bad-request")


async def test_an_upgrade_is_ignored(planes: Planes) -> None:
    """The request is answered as plain HTTP, and so is the one behind it."""
    offer = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    offer += b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    last = GOOD[:-2] + b"Connection: close\r\n\r\n"

    answers = await asked(str(planes.data.base_url), offer + offer + last)

    assert [answer.status for answer in answers] == [200, 200, 200]


@pytest.mark.parametrize(
    "offer", [UPGRADE, UPGRADE.replace(b"Connection", b"Proxy-Connection")], ids=["", "by proxy"]
)
@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
async def test_the_body_of_a_request_with_an_upgrade_is_no_request(
    planes: Planes, offer: bytes, pieces: str
) -> None:
    """What follows the body is one again; a head without its end in the body changes nothing."""
    within = b"GET /training/trn_000001 HTTP/1.1\r\nHost: a\r\nX: "
    first = b"GET /livez HTTP/1.1\r\n" + HOST + offer + b"Content-Length: %d\r\n\r\n"
    raw = first % len(within) + within + GOOD[:-2] + b"Connection: close\r\n\r\n"
    chunks = [raw] if pieces == "whole" else [bytes([each]) for each in raw]

    for plane in (planes.data, planes.admin):
        answers = await asked(str(plane.base_url), *chunks)
        assert [answer.status for answer in answers] == [200, 200]


async def test_a_body_that_ends_early_is_malformed_with_an_upgrade_too(planes: Planes) -> None:
    """As without one: the order is not carried out."""
    head = POST + UPGRADE + b"Content-Length: 5\r\n\r\n"
    async with calling(str(planes.admin.base_url)) as caller:
        answer = await (await caller.send(head + b"{}")).end().told()

    assert (answer.status, answer.word) == (400, "bad-request")
    assert await planes.metric("gateway_invalidations_total") == 0
