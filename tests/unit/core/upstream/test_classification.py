"""What a reply means: the contract's table of statuses, shapes and modes."""

from __future__ import annotations

import pytest

from gateway.core.errors import (
    InvalidPayload,
    UpstreamError,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
)
from gateway.core.http.fields import Headers, Reply
from gateway.core.upstream.classification import (
    Confirmed,
    ForCaller,
    Gone,
    Question,
    is_from_api,
    is_refusal,
    judge,
    rejection,
)
from gateway.core.upstream.training import Training
from gateway.core.vocabulary import FailureReason, InvalidReason

NOW = 1_700_000_000.0
JSON: Headers = ((b"content-type", b"application/json; charset=utf-8"),)
HTML: Headers = ((b"content-type", b"text/html; charset=UTF-8"),)
PAGE = b"<!DOCTYPE html><html><title>Just a moment...</title></html>"
ERROR = b'{"statusCode":400,"message":"Bad Request","error":"Bad Request"}'
PROXY = b'{"message":"Unauthorized"}'
BODY = b'{"id": "t1",  "updated_at": "2025-01-01T00:00:00Z", "x": 1.0}'

CALLERS = Question("t1", conditional=False, owns_token=True)
OURS = Question("t1", conditional=False, owns_token=False)
CONDITIONAL = Question("t1", conditional=True, owns_token=True)
modes = pytest.mark.parametrize("question", [CALLERS, OURS], ids=["passthrough", "ours"])

REDIRECTS = [300, 301, 302, 303, 307, 308]
SUCCESSES = [201, 202, 203, 204, 205, 206]
FAILURES = [500, 501, 502, 503, 504, *range(520, 527)]
FOR_CALLER = [400, 403, 405, 408, 409, 413, 415, 418, 422, 423, 451, 499]


def error_body(status: int) -> bytes:
    """An error in the API's own shape."""
    return b'{"statusCode":%d,"message":"No","error":"No"}' % status


def failure_of(reply: Reply, question: Question = CALLERS) -> UpstreamFailure:
    """Why the reply is no answer of the API."""
    with pytest.raises(UpstreamFailure) as caught:
        judge(reply, question, NOW)
    return caught.value


def error_of(reply: Reply, question: Question = CALLERS) -> UpstreamError:
    """The same where it must be an UpstreamError."""
    failure = failure_of(reply, question)
    assert isinstance(failure, UpstreamError)
    assert failure.status == reply.status
    return failure


@modes
def test_a_200_is_a_training_byte_for_byte(question: Question) -> None:
    """What is parsed is kept as it came."""
    judged = judge(Reply(200, JSON, BODY), question, NOW)

    assert isinstance(judged, Training)
    assert judged.body is BODY


@modes
def test_a_200_that_is_no_training_is_refused(question: Question) -> None:
    """An error's shape under 200, or another training, is an invalid payload."""
    for body in (ERROR, BODY.replace(b"t1", b"t2"), b"", b"{"):
        assert isinstance(failure_of(Reply(200, JSON, body), question), InvalidPayload)


@modes
@pytest.mark.parametrize("status", FOR_CALLER)
def test_a_json_4xx_concerns_the_caller(status: int, question: Question) -> None:
    """In the API's words it passes as it is, whoever owns the token."""
    assert judge(Reply(status, JSON, error_body(status)), question, NOW) == ForCaller()


@modes
@pytest.mark.parametrize("status", [404, 410])
def test_a_json_404_or_410_means_gone(status: int, question: Question) -> None:
    """The API itself says that there is no such training."""
    assert judge(Reply(status, JSON, error_body(status)), question, NOW) == Gone()


def test_a_json_401_concerns_whoever_owns_the_token() -> None:
    """The caller's own credential: theirs to hear of. The gateway's: ours to mend."""
    reply = Reply(401, JSON, error_body(401))

    refused = failure_of(reply, OURS)

    assert judge(reply, CALLERS, NOW) == ForCaller()
    assert isinstance(refused, UpstreamRefused)
    assert (refused.status, refused.reason) == (401, FailureReason.REFUSED)


@modes
@pytest.mark.parametrize("headers", [JSON, HTML])
@pytest.mark.parametrize("body", [ERROR, PAGE, b""])
def test_a_429_is_a_rate_limit_in_any_shape(
    body: bytes, headers: Headers, question: Question
) -> None:
    """Who says it, API or CDN, changes nothing about having to stop."""
    failure = failure_of(Reply(429, headers, body), question)

    assert isinstance(failure, UpstreamRateLimited)
    assert failure.retry_after is None


def test_a_429_may_name_its_time_by_ratelimit_alone() -> None:
    """It has no Retry-After."""
    fields = ((b"ratelimit", b'"default";r=0;t=7'), (b"ratelimit-policy", b'"default";q=10;w=60'))

    failure = failure_of(Reply(429, fields, b""), OURS)

    assert isinstance(failure, UpstreamRateLimited)
    assert failure.retry_after == 7.0


@modes
@pytest.mark.parametrize("status", [*FAILURES, 599, 999])
def test_a_5xx_is_a_failure(status: int, question: Question) -> None:
    """Also in the API's shape; and a status that HTTP has not is one (RFC 9110, 15)."""
    assert error_of(Reply(status, JSON, ERROR), question).reason is FailureReason.STATUS_5XX


@modes
@pytest.mark.parametrize("status", [100, *SUCCESSES, *REDIRECTS])
def test_other_statuses_answer_nothing(status: int, question: Question) -> None:
    """Another 2xx is no training, and a redirect is not followed."""
    for body in (b"", ERROR, BODY):
        assert error_of(Reply(status, JSON, body), question).reason is FailureReason.PROTOCOL


@modes
@pytest.mark.parametrize("body", [b"", b"Not Found", b"{}", b"[]", b"null", b'"statusCode"', b"{"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_a_4xx_of_another_shape_is_not_the_apis(
    status: int, body: bytes, question: Question
) -> None:
    """Neither passed on nor remembered, and never taken for a word on a credential."""
    assert error_of(Reply(status, JSON, body), question).reason is FailureReason.PROTOCOL


@pytest.mark.parametrize("body", [b"\xff", b'{"message":"\xff"}', b"[" * 100_000])
def test_a_4xx_that_cannot_be_read_is_not_the_apis(body: bytes) -> None:
    """Bytes that are no JSON raise nothing of their own."""
    assert error_of(Reply(404, JSON, body)).reason is FailureReason.PROTOCOL


@pytest.mark.parametrize(
    "body",
    [
        b'{"statusCode":404}',
        b'{"message":"no Route matched with those values"}',
        b'{"statusCode":"404","message":"Not Found"}',
        b'{"statusCode":403,"message":"Forbidden"}',
    ],
)
def test_a_4xx_of_a_proxy_is_not_the_apis(body: bytes) -> None:
    """The API's errors have a message, and a number that is the status."""
    reply = Reply(404, JSON, body)

    assert error_of(reply).reason is FailureReason.PROTOCOL
    assert not is_from_api(reply)


@pytest.mark.parametrize("status", [401, 403])
def test_a_proxy_refuses_no_token(status: int) -> None:
    """Only a 401 or 403 in the API's own shape says something about the token."""
    assert is_refusal(Reply(status, JSON, error_body(status)))
    assert not is_refusal(Reply(status, JSON, PROXY))


def test_a_message_of_several_lines_is_the_apis() -> None:
    """What kind of value `message` has does not matter."""
    body = b'{"message":["a","b"],"statusCode":404}'

    assert judge(Reply(404, (), body), CALLERS, NOW) == Gone()


@modes
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (HTML, PAGE),
        (HTML, ERROR),
        (((b"content-type", b"Text/HTML"),), b""),
        (((b"content-type", b"application/xhtml+xml"),), b""),
        (JSON, PAGE),
        ((), b" \r\n\t<html>"),
    ],
)
@pytest.mark.parametrize("status", [200, 204, 302, 304, 401, 403, 404, 410, 500, 503, 520, 526])
def test_a_page_is_never_an_answer(
    status: int, headers: Headers, body: bytes, question: Question
) -> None:
    """Whatever its status, HTML by its label or its looks comes from the CDN."""
    assert error_of(Reply(status, headers, body), question).reason is FailureReason.CHALLENGE


def test_a_304_confirms_only_what_was_asked() -> None:
    """Without validators sent nobody asked for one."""
    assert judge(Reply(304, (), b""), CONDITIONAL, NOW) == Confirmed()
    assert error_of(Reply(304, (), b""), CALLERS).reason is FailureReason.PROTOCOL


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (((b"retry-after", b"17"),), 17.0),
        (((b"retry-after", b"17"), (b"retry-after", b"99")), 17.0),
        (((b"retry-after", b"Tue, 14 Nov 2023 22:13:50 GMT"),), 30.0),
        (((b"ratelimit", b'"default";r=0;t=60'),), 60.0),
        (((b"x-odd", b"\xff"),), None),
    ],
)
def test_when_to_come_back_is_read(headers: Headers, seconds: float | None) -> None:
    """Of a 429 and of a 5xx, in the forms that are known; the first field of a name."""
    assert failure_of(Reply(429, headers, ERROR)).retry_after == seconds
    assert failure_of(Reply(503, headers, ERROR)).retry_after == seconds


def test_a_redirect_tells_no_time() -> None:
    """Retry-After on a 3xx is about something else (RFC 9110, 10.2.3)."""
    assert failure_of(Reply(302, ((b"retry-after", b"17"),), b"")).retry_after is None


def test_refused_bodies_have_a_word() -> None:
    """A payload its own, a page under 200 `challenge`; other failures are no bodies refused."""
    page = error_of(Reply(200, HTML, PAGE))

    assert rejection(InvalidPayload(InvalidReason.WRONG_ID, "x")) is InvalidReason.WRONG_ID
    assert rejection(page) is InvalidReason.CHALLENGE
    assert rejection(error_of(Reply(403, HTML, PAGE))) is None
    assert rejection(error_of(Reply(204, JSON, b""))) is None
    assert rejection(UpstreamError("x", FailureReason.PROTOCOL, status=200)) is None
