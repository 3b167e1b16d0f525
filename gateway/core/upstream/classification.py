"""Classifies a complete reply of the upstream: an answer, an error for the caller, or a failure."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.core.errors import (
    InvalidPayload,
    ListRefused,
    UpstreamError,
    UpstreamFailure,
    UpstreamRateLimited,
    UpstreamRefused,
)
from gateway.core.http.fields import Reply, as_text
from gateway.core.http.rate_limit_headers import retry_hint
from gateway.core.upstream.breaker import LONGEST_HOLD
from gateway.core.upstream.list_page import THE_LIST, Page, read_page
from gateway.core.upstream.training import Training, parse
from gateway.core.vocabulary import FailureReason, InvalidReason

# The highest status of HTTP (RFC 9110, 15). A response with a higher status counts as a failure.
LAST_STATUS: Final = 599


@dataclass(frozen=True, slots=True)
class Confirmed:
    """304: the upstream confirmed the stored response."""


@dataclass(frozen=True, slots=True)
class Gone:
    """404 or 410 with an error of the API: the training does not exist."""


@dataclass(frozen=True, slots=True)
class ForCaller:
    """A 4xx other than 404 and 410, with an error of the API that only the caller can act on. It is
    passed on."""


@dataclass(frozen=True, slots=True)
class Other:
    """A response that is no training, passed on because `freshness.source` is `"origin"`."""


Judged = Training | Confirmed | Gone | ForCaller | Other


@dataclass(frozen=True, slots=True)
class Question:
    """The parts of a call that decide how its reply is judged.

    conditional  whether the call sent validators
    owns_token   whether the call sent the caller's own token; a 401 then concerns the caller
    """

    training_id: str
    conditional: bool
    owns_token: bool


def judge(reply: Reply, question: Question, now: float) -> Judged:
    """Classify a complete reply. Raises UpstreamRateLimited, UpstreamRefused, UpstreamError or
    InvalidPayload.

    `now` (epoch seconds) is used as the time of a reply without a valid `Date`.
    """
    training_id = question.training_id
    if reply.status == 429:
        raise rate_limited(reply, f"training {training_id}", now)
    if reply.is_html:
        raise UpstreamError(
            f"an HTML page with status {reply.status} came for training {training_id}",
            FailureReason.CHALLENGE,
            status=reply.status,
        )
    if reply.status == 200:
        return parse(reply.body, training_id)
    if reply.status == 304 and question.conditional:
        return Confirmed()
    if not 400 <= reply.status < 500 or not _is_api_error(reply):
        raise _unusable(reply, training_id, now)
    if reply.status == 401 and not question.owns_token:
        raise UpstreamRefused("upstream refused the gateway's own token", status=reply.status)
    return Gone() if reply.status in (404, 410) else ForCaller()


def judge_page(reply: Reply, offset: int, now: float) -> Generator[None, None, Page]:
    """Return the page of the list that the complete reply contains.

    The generator pauses as `read_page` does. Raises ListRefused for a 4xx other than 429, if
    its body is an error of the API. Also raises the errors of `read_page` and `judge`.
    """
    if reply.status == 200 and not reply.is_html:
        return (yield from read_page(reply, offset))
    judge(reply, Question(THE_LIST, conditional=False, owns_token=True), now)
    raise ListRefused(f"the list answers {reply.status}")


def is_refusal(reply: Reply) -> bool:
    """Whether the API itself refused the token (401) or access to the training (403). The body
    decides, because a proxy in front of the API can send these statuses too."""
    return reply.status in (401, 403) and not reply.is_html and _is_api_error(reply)


def is_from_api(reply: Reply) -> bool:
    """Whether the API itself gave this answer, so that it says something about the token. False if
    a proxy in front of the API perhaps gave it: an HTML page, a redirection, a 5xx, or a 4xx
    without an error of the API."""
    if reply.is_html or reply.status >= 500:
        return False
    if reply.status >= 400:
        return _is_api_error(reply)
    return reply.status < 300 or reply.status == 304


def rate_limited(reply: Reply, asked: str, now: float) -> UpstreamRateLimited:
    """The error for a 429. `asked` names the requested object in the error's text."""
    return UpstreamRateLimited(f"upstream answered 429 to {asked}", retry_after=hint(reply, now))


def _unusable(reply: Reply, training_id: str, now: float) -> UpstreamError:
    failed = reply.status >= 500
    return UpstreamError(
        f"the gateway cannot use the answer with status {reply.status} for training {training_id}",
        FailureReason.STATUS_5XX if failed else FailureReason.PROTOCOL,
        status=reply.status,
        retry_after=hint(reply, now) if failed else None,
    )


def hint(reply: Reply, now: float) -> float | None:
    """Seconds until the upstream may be asked again, at most LONGEST_HOLD. None if unknown."""
    hint = retry_hint(as_text(reply.headers), now)
    return None if hint is None else min(hint, LONGEST_HOLD)


def _is_api_error(reply: Reply) -> bool:
    """Whether the body has the API's own error shape: `message`, and a `statusCode` that is equal
    to the status. Proxies in front of the API also send errors as JSON, mostly with `message`
    alone. Such an error says nothing about the training or the token."""
    try:
        error = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(error, dict):
        return False
    return "message" in error and error.get("statusCode") == reply.status


def rejection(failure: UpstreamFailure) -> InvalidReason | None:
    """Why a body was refused. None if no body was refused."""
    if isinstance(failure, InvalidPayload):
        return failure.invalid
    challenged = failure.status == 200 and failure.reason is FailureReason.CHALLENGE
    return InvalidReason.CHALLENGE if challenged else None
