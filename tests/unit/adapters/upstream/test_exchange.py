"""Unit: how failures on the wire come out, and whether the request may have left."""

from __future__ import annotations

import re
import socket

import pytest

from gateway.adapters.upstream.exchange import words
from gateway.core.errors import InvalidPayload, UpstreamTimeout, UpstreamUnreachable
from gateway.core.vocabulary import FailureReason, InvalidReason
from tests.unit.adapters.upstream.peers import (
    Blunt,
    Dribbling,
    Mute,
    Peer,
    Silent,
    answer,
    request,
    server_tls,
    swallowing,
    trusting,
    upstream,
)

FRAMED = (
    answer(b"Content-Length: 2", body=b"{}"),
    answer(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    answer(b"Transfer-Encoding: chunked", body=b"1\r\n{\r\n1;a=b\r\n}\r\n0\r\nX: y\r\n\r\n"),
)


async def _failure(url: str, within: float = 5.0, connect: float = 2.0) -> UpstreamUnreachable:
    async with upstream(url, connect_timeout=connect) as adapter:
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request(within=within))
    return caught.value


async def _timeout(url: str, within: float = 5.0, connect: float = 2.0) -> UpstreamTimeout:
    async with upstream(url, connect_timeout=connect) as adapter:
        with pytest.raises(UpstreamTimeout) as caught:
            await adapter.call(request(within=within))
    return caught.value


async def test_nobody_listens() -> None:
    """A refused connection is unreachable, and nothing was sent."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failure = await _failure(f"http://127.0.0.1:{taken.getsockname()[1]}")

    assert (failure.reason, failure.sent) == (FailureReason.CONNECT, False)
    assert "/training/t1" in failure.what
    assert failure.__cause__ is not None


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".invalid", "name.invalid"])
async def test_a_host_that_is_not_found(host: str) -> None:
    """It is unreachable, also if no name server can be asked for it."""
    failure = await _failure(f"http://{host}")

    assert (failure.reason, failure.sent) == (FailureReason.CONNECT, False)
    assert failure.what.endswith(("there is no such host name", "no name server answered"))


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["none", "cut"])
async def test_a_connection_that_ends_without_a_response_is_a_reset(reply: bytes) -> None:
    """The request has left, and who ended it is perhaps no part of the API."""
    async with Peer(reply, closes=True).listening() as url:
        failure = await _failure(url)

    assert (failure.reason, failure.sent) == (FailureReason.RESET, True)
    assert "ended the connection" in failure.what


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such host name"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "no name server answered"),
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (OSError(113, "No route to host"), "no route to host"),
        (ConnectionResetError(), "the server closed it"),
    ],
)
def test_no_word_of_python_is_told(error: OSError, text: str) -> None:
    """Neither classes nor numbers of errors."""
    assert text in words(error)
    assert not re.search(r"Error|errno|\[|_ssl", words(error))


async def test_connecting_takes_too_long() -> None:
    """The connect timeout ends the wait for a connection before the deadline does."""
    with swallowing() as url:
        failure = await _timeout(url, connect=0.1)

    assert (failure.reason, failure.sent) == (FailureReason.CONNECT_TIMEOUT, False)


async def test_the_deadline_comes_while_connecting() -> None:
    """A deadline shorter than the connect timeout holds as well."""
    with swallowing() as url:
        failure = await _timeout(url, within=0.1, connect=0.3)

    assert (failure.reason, failure.sent) == (FailureReason.CONNECT_TIMEOUT, False)


async def test_the_handshake_takes_too_long() -> None:
    """A peer that accepts and never shakes hands counts as connecting."""
    async with Mute().listening() as url:
        failure = await _timeout(url.replace("http:", "https:"), connect=0.1)

    assert (failure.reason, failure.sent) == (FailureReason.CONNECT_TIMEOUT, False)


async def test_the_certificate_is_not_trusted() -> None:
    """Certificates are verified; the request, with its credential, stays here."""
    async with Peer().listening(server_tls()) as url:
        failure = await _failure(url)

    assert (failure.reason, failure.sent) == (FailureReason.TLS, False)
    assert "not accepted (self-signed certificate)" in failure.what


async def test_the_certificate_is_another_hosts() -> None:
    """A certificate that is trusted must also be the host's."""
    async with (
        Peer().listening(server_tls()) as url,
        upstream(url, tls=trusting()) as adapter,
    ):
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request())

    assert (caught.value.reason, caught.value.sent) == (FailureReason.TLS, False)
    assert "IP address mismatch" in caught.value.what


async def test_a_trusted_certificate_is_accepted() -> None:
    """With the authority known the same peer is reached."""
    async with (
        Peer().listening(server_tls()) as url,
        upstream(url.replace("127.0.0.1", "localhost"), tls=trusting()) as adapter,
    ):
        assert (await adapter.call(request())).body == b"{}"


async def test_the_peer_speaks_no_tls(caplog: pytest.LogCaptureFixture) -> None:
    """A plain server behind https is a TLS failure, which nobody else logs."""
    async with Blunt(b"HTTP/1.1 400 Bad Request\r\n\r\n").listening() as url:
        failure = await _failure(url.replace("http:", "https:"))

    assert (failure.reason, failure.sent) == (FailureReason.TLS, False)
    assert "no TLS connection: the server" in failure.what
    assert caplog.records == []


async def test_the_answer_never_comes() -> None:
    """A peer that hangs ends at the deadline, and may have done what it was asked."""
    async with Silent().listening() as url:
        failure = await _timeout(url, within=0.1)

    assert (failure.reason, failure.sent) == (FailureReason.READ_TIMEOUT, True)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(*[b"X: y"] * 100, b"Content-Length: 2", body=b"{}"), id="head"),
        pytest.param(answer(b"Content-Length: 500", body=b" " * 500), id="body"),
    ],
)
async def test_a_dribble_ends_at_the_deadline(reply: bytes) -> None:
    """Bytes that keep coming do not move the deadline, in the head or in the body."""
    async with Dribbling(reply).listening() as url:
        failure = await _timeout(url, within=0.2)

    assert (failure.reason, failure.sent) == (FailureReason.READ_TIMEOUT, True)


async def test_the_deadline_has_passed_already() -> None:
    """Such a call is not made at all."""
    peer = Peer()
    async with peer.listening() as url:
        failure = await _timeout(url, within=-0.1)

    assert failure.sent is False
    assert peer.connections == 0


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", id="a field that is none"),
        pytest.param(answer(*[b"X: " + b"y" * 100] * 3000), id="an endless head"),
        pytest.param(answer(b"Content-Length: 2", b"Content-Length: 3"), id="two lengths"),
        pytest.param(answer(b"Upgrade: h2c", status=b"101 Switching"), id="an upgrade"),
    ],
)
async def test_no_head_that_can_be_read(reply: bytes) -> None:
    """Whatever comes instead of a head breaks the protocol, after the request has left."""
    async with Peer(reply, closes=True).listening() as url:
        failure = await _failure(url)

    assert (failure.reason, failure.sent) == (FailureReason.PROTOCOL, True)
    assert len(failure.what) < 300


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(b"Content-Length: 10", body=b"{}"), id="length"),
        pytest.param(answer(b"Transfer-Encoding: chunked", body=b"2\r\n{}\r\n"), id="chunked"),
        pytest.param(answer(b"Transfer-Encoding: chunked", body=b"zz\r\n{}"), id="no chunk"),
    ],
)
async def test_a_body_cut_short(reply: bytes) -> None:
    """A body that ends before its framing says so is no payload."""
    async with Peer(reply, closes=True).listening() as url, upstream(url) as adapter:
        with pytest.raises(InvalidPayload) as caught:
            await adapter.call(request())

    assert caught.value.invalid is InvalidReason.TRUNCATED


@pytest.mark.parametrize(
    "behind",
    [
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"somebody's secret\r\n\r\n",
        answer(b"Content-Length: 6", body=b"others"),
        answer(b"Content-Length: 2", body=b"{}"),
    ],
)
@pytest.mark.parametrize("whole", [*FRAMED, answer(status=b"204 No Content")])
async def test_bytes_beyond_an_answer_are_no_answer(whole: bytes, behind: bytes) -> None:
    """What came for one call is never taken for the answer to the next: its connection ends."""
    peer = Peer(whole + behind)
    async with peer.listening() as url, upstream(url) as adapter:
        replies = [await adapter.call(request()) for _ in range(3)]

    assert {reply.body for reply in replies} == {b"" if b" 204 " in whole else b"{}"}
    assert peer.connections == 3


async def test_words_that_are_no_answer_are_not_repeated() -> None:
    """They may be anybody's."""
    async with Peer(b"somebody's secret\r\n\r\n").listening() as url:
        failure = await _failure(url)

    assert failure.reason is FailureReason.PROTOCOL
    assert "secret" not in failure.what


async def test_a_credential_that_cannot_be_sent_is_not_repeated() -> None:
    """A token that is no field value fails before it is sent, and not in words that show it."""
    peer = Peer()
    async with peer.listening() as url, upstream(url) as adapter:
        with pytest.raises(UpstreamUnreachable) as caught:
            await adapter.call(request(token="se\ncret"))

    assert caught.value.sent is False
    assert "cret" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert peer.heads == []
