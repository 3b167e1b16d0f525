"""The forms of answers: JSON, the API's error shape, a CDN's page. No decision about when."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.responses import Response

_JSON = "application/json; charset=utf-8"
_PAGE = """<!DOCTYPE html>
<html lang="en-US">
<head><title>{title}</title><meta charset="UTF-8"><meta name="robots" content="noindex"></head>
<body><h1>{title}</h1><p>Performance &amp; security by a content delivery network.</p></body>
</html>
"""


class Refusal(Exception):
    """The API says no: the status and the words of its error shape."""

    def __init__(self, status: int, message: str | None = None) -> None:
        super().__init__(status, message)
        self.answer = error(status, message)


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON of these very bytes."""
    return Response(body, status, headers, media_type=_JSON)


def error(
    status: int, message: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """The API's error shape: statusCode, message, error."""
    phrase = HTTPStatus(status).phrase
    body = msgspec.json.encode(
        {"statusCode": status, "message": message or phrase, "error": phrase}
    )
    return json_answer(body, status, headers)


def page(status: int) -> Response:
    """An HTML page as a CDN puts in the API's place."""
    title = _TITLES.get(status, "Web server is returning an unknown error")
    return Response(_PAGE.format(title=title), status, media_type="text/html; charset=UTF-8")


_TITLES = {
    200: "Just a moment...",
    401: "Authorization Required",
    403: "Attention Required!",
    503: "Service Temporarily Unavailable",
}
