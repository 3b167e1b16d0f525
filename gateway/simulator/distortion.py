"""What is wrong with an answer's status, head or body. How it is delivered is in wire."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import msgspec
from starlette.responses import Response, StreamingResponse

from gateway.simulator.answers import error, page
from gateway.simulator.calls import Call, CallKind
from gateway.simulator.faults import Fault, FaultMode
from gateway.simulator.revisions import Document, instant

_SINGLE_SIZE = 2 * 1024 * 1024
_LIST_SIZE = 17 * 1024 * 1024
_CHUNK = 64 * 1024


def replacement(fault: Fault, call: Call) -> Response | None:
    """The answer given in the API's place, or `None` where the API is asked after all."""
    if fault.mode is FaultMode.RATE_LIMITED:
        headers = {"Retry-After": f"{fault.own_delay:.0f}"}
        return error(429, "Too Many Requests", headers)
    if fault.mode is FaultMode.REDIRECT:
        return Response(status_code=302, headers={"Location": f"{call.path}?redirected=1"})
    make = _REPLACEMENTS.get(fault.mode)
    return make() if make else None


def distorted(fault: Fault, call: Call, answer: Response) -> Response:
    """The API's own answer, spoilt; one that is no success stays as it is."""
    if answer.status_code != 200:
        return answer
    if fault.mode in _SPOILING:
        return _with_body(answer, _spoil_documents(fault, bytes(answer.body)))
    distort = _DISTORTIONS.get(fault.mode)
    return distort(fault, call, answer) if distort else answer


def _spoil_documents(fault: Fault, body: bytes) -> bytes:
    decoded = msgspec.json.decode(body, type=Document)
    items = decoded.get("items")
    documents = items if isinstance(items, list) else [decoded]
    for document in documents:
        if fault.spoils(document.get("id")):
            _SPOILING[fault.mode](document)
    return msgspec.json.encode(decoded)


def _with_body(answer: Response, body: bytes) -> Response:
    answer.body = body
    answer.headers["content-length"] = str(len(body))
    return answer


def _wrong_id(document: Document) -> None:
    document["id"] = f"{document['id']}_other"


def _without(name: str) -> Callable[[Document], None]:
    def spoil(document: Document) -> None:
        document.pop(name, None)

    return spoil


def _with(name: str, value: object) -> Callable[[Document], None]:
    def spoil(document: Document) -> None:
        document[name] = value

    return spoil


def _naive(document: Document) -> None:
    document["updated_at"] = str(document["updated_at"]).removesuffix("Z")


def _turned_round(document: Document) -> None:
    for name in reversed(list(document)):
        document[name] = document.pop(name)


def _rounded(document: Document) -> None:
    """The next millisecond: what is rounded where single answers cut off."""
    _move(document, timedelta(milliseconds=1))


def _move(document: Document, by: timedelta) -> None:
    moment = datetime.fromisoformat(str(document["updated_at"])) + by
    document["updated_at"] = instant(moment)


def _row_twice(fault: Fault, _call: Call, answer: Response) -> Response:
    """Once more with a version of a second later, in place of the row behind it: what a list
    shows that is sorted while it changes."""
    decoded = msgspec.json.decode(bytes(answer.body), type=Document)
    items = decoded["items"]
    assert isinstance(items, list), "a page of the list has its items"
    rows: list[Document] = []
    for row in items:
        before = rows[-1] if rows else row
        is_spoilt = fault.spoils(before["id"]) and sum(r["id"] == before["id"] for r in rows) == 1
        rows.append(dict(before) if is_spoilt else row)
        if is_spoilt:
            _move(rows[-1], timedelta(seconds=1))
    return _with_body(answer, msgspec.json.encode(decoded | {"items": rows}))


def _regress(document: Document) -> None:
    _move(document, -timedelta(hours=1))
    for name in {"content", "answer"} & document.keys():
        document[name] = f"As it was an hour before. {document[name]}"


def _padded(fault: Fault, call: Call, answer: Response) -> Response:
    default = _LIST_SIZE if call.kind is CallKind.LIST else _SINGLE_SIZE
    # White space after the value leaves good JSON: only its size is wrong.
    return _with_body(answer, bytes(answer.body).ljust(fault.size or default))


def _padded_chunked(fault: Fault, call: Call, answer: Response) -> Response:
    body = bytes(_padded(fault, call, answer).body)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), _CHUNK):
            yield body[start : start + _CHUNK]

    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return StreamingResponse(chunks(), answer.status_code, headers)


def _malformed(_fault: Fault, _call: Call, answer: Response) -> Response:
    return _with_body(answer, bytes(answer.body)[:-1] + b", oops]")


def _in_an_array(_fault: Fault, _call: Call, answer: Response) -> Response:
    return _with_body(answer, b"[" + bytes(answer.body) + b"]")


def _created(_fault: Fault, _call: Call, answer: Response) -> Response:
    answer.status_code = 201
    return answer


def _compressed(_fault: Fault, _call: Call, answer: Response) -> Response:
    answer.headers["content-encoding"] = "gzip"
    return _with_body(answer, gzip.compress(bytes(answer.body)))


_REPLACEMENTS: dict[FaultMode, Callable[[], Response]] = {
    FaultMode.STATUS_500: lambda: error(500),
    FaultMode.STATUS_502: lambda: error(502),
    FaultMode.STATUS_503: lambda: error(503),
    FaultMode.STATUS_204: lambda: Response(status_code=204),
    FaultMode.HTML_200: lambda: page(200),
    FaultMode.HTML_401: lambda: page(401),
    FaultMode.HTML_403: lambda: page(403),
    FaultMode.HTML_503: lambda: page(503),
    FaultMode.HTML_520: lambda: page(520),
    FaultMode.UNAUTHORIZED: lambda: error(401),
    FaultMode.FORBIDDEN: lambda: error(403, "Forbidden resource"),
    FaultMode.LIST_REFUSED: lambda: error(403, "Forbidden resource"),
    FaultMode.NOT_FOUND: lambda: error(404, "Training not found"),
    FaultMode.GONE: lambda: error(410, "Training was deleted"),
}

_SPOILING: dict[FaultMode, Callable[[Document], None]] = {
    FaultMode.WRONG_ID: _wrong_id,
    FaultMode.MISSING_ID: _without("id"),
    FaultMode.MISSING_UPDATED_AT: _without("updated_at"),
    FaultMode.BAD_UPDATED_AT: _with("updated_at", "yesterday at noon"),
    FaultMode.NAIVE_UPDATED_AT: _naive,
    FaultMode.WRONG_TYPE: _with("title", 7),
    FaultMode.REGRESS: _regress,
    FaultMode.LIST_FIELD_MISSING: _without("draft_content"),
    FaultMode.LIST_REFORMATTED: _turned_round,
    FaultMode.LIST_ROUNDED: _rounded,
}

_DISTORTIONS: dict[FaultMode, Callable[[Fault, Call, Response], Response]] = {
    FaultMode.STATUS_201: _created,
    FaultMode.MALFORMED_JSON: _malformed,
    FaultMode.NOT_AN_OBJECT: _in_an_array,
    FaultMode.TOO_LARGE: _padded,
    FaultMode.TOO_LARGE_CHUNKED: _padded_chunked,
    FaultMode.GZIP: _compressed,
    FaultMode.LIST_ROW_TWICE: _row_twice,
}
