"""The forms of answers, their validators, and the conditions of requests (RFC 9110, section 13).

The documented API sends no validators. The simulator can send validators, because the API will
perhaps send them one day.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import StrEnum
from hashlib import blake2b
from http import HTTPStatus

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response

_JSON = "application/json; charset=utf-8"
_PAGE = """<!DOCTYPE html>
<html lang="en-US">
<head><title>{title}</title><meta charset="UTF-8"><meta name="robots" content="noindex"></head>
<body><h1>{title}</h1><p>Performance &amp; security by a content delivery network.</p></body>
</html>
"""


class Refusal(Exception):
    """The API refuses a call. `answer` is the API's answer to the call."""

    def __init__(self, status: int, message: str | None = None) -> None:
        super().__init__(status, message)
        self.answer = error(status, message)


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON with exactly these bytes."""
    return Response(body, status, headers, media_type=_JSON)


def error(
    status: int, message: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """An answer in the API's error shape."""
    phrase = HTTPStatus(status).phrase
    body = msgspec.json.encode(
        {"statusCode": status, "message": message or phrase, "error": phrase}
    )
    return json_answer(body, status, headers)


def proxy_error(status: int) -> Response:
    """An error of an API gateway in front of the API (Kong, AWS). It is JSON, but not in the API's
    error shape."""
    body = msgspec.json.encode({"message": HTTPStatus(status).phrase})
    return json_answer(body, status)


def page(status: int) -> Response:
    """A page that a CDN sends in place of the API's answer."""
    title = _TITLES.get(status, "Web server is returning an unknown error")
    return Response(_PAGE.format(title=title), status, media_type="text/html; charset=UTF-8")


_TITLES = {
    200: "Just a moment...",
    401: "Authorization Required",
    403: "Attention Required!",
    503: "Service Temporarily Unavailable",
}


class ETagForm(StrEnum):
    """The kind of entity tag that answers have."""

    NONE = "none"
    STRONG = "strong"
    WEAK = "weak"


def entity_tag(body: bytes, form: ETagForm) -> str | None:
    """A tag that changes with the body's bytes."""
    if form is ETagForm.NONE:
        return None
    tag = f'"{blake2b(body, digest_size=8).hexdigest()}"'
    return f"W/{tag}" if form is ETagForm.WEAK else tag


def http_date(moment: datetime) -> str:
    """An HTTP date: a weak validator, because it has whole seconds only."""
    return format_datetime(moment.replace(microsecond=0), usegmt=True)


def is_unchanged(headers: Headers, tag: str | None, last_modified: str | None) -> bool:
    """Whether the answer is a 304. `If-Modified-Since` is ignored if there is an
    `If-None-Match`."""
    if (condition := headers.get("if-none-match")) is not None:
        return tag is not None and _lists(condition, tag)
    since = headers.get("if-modified-since")
    if since is None or last_modified is None:
        return False
    return _is_not_after(last_modified, since)


def _lists(condition: str, tag: str) -> bool:
    listed = {part.strip().removeprefix("W/") for part in condition.split(",")}
    return condition.strip() == "*" or tag.removeprefix("W/") in listed


def _is_not_after(last_modified: str, since: str) -> bool:
    try:
        return parsedate_to_datetime(last_modified) <= parsedate_to_datetime(since)
    except (ValueError, TypeError):
        return False
