"""The faults of the simulator: which calls meet a fault, and how the fault changes the answer.

`wire` has the faults that change how an answer is sent.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response, StreamingResponse

from gateway.simulator.answers import error, page, proxy_error
from gateway.simulator.training import Document, instant


class FaultMode(StrEnum):
    """Every fault that the simulator can have."""

    # Another answer is sent instead of the API's answer.
    STATUS_500 = "status-500"
    STATUS_502 = "status-502"
    STATUS_503 = "status-503"
    STATUS_204 = "status-204"
    HTML_200 = "html-200"
    HTML_401 = "html-401"
    HTML_403 = "html-403"
    HTML_503 = "html-503"
    HTML_520 = "html-520"
    PROXY_401 = "proxy-401"
    PROXY_403 = "proxy-403"
    PROXY_404 = "proxy-404"
    RATE_LIMITED = "rate-limited"
    REDIRECT = "redirect"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    GONE = "gone"
    LIST_REFUSED = "list-refused"
    # Items of the list differ from the answers for single trainings.
    LIST_REFORMATTED = "list-reformatted"
    LIST_FIELD_MISSING = "list-field-missing"
    LIST_ROUNDED = "list-rounded"
    LIST_ROW_TWICE = "list-row-twice"
    # The API's answer is sent with something wrong in it.
    STATUS_201 = "status-201"
    WRONG_ID = "wrong-id"
    MISSING_ID = "missing-id"
    MISSING_UPDATED_AT = "missing-updated-at"
    BAD_UPDATED_AT = "bad-updated-at"
    NAIVE_UPDATED_AT = "naive-updated-at"
    WRONG_TYPE = "wrong-type"
    MANY_MEMBERS = "many-members"
    REGRESS = "regress"
    MALFORMED_JSON = "malformed-json"
    NOT_AN_OBJECT = "not-an-object"
    TOO_LARGE = "too-large"
    TOO_LARGE_CHUNKED = "too-large-chunked"
    GZIP = "gzip"
    OLD = "old"
    # The right answer is sent badly or not at all.
    SLOW = "slow"
    LATE = "late"
    HELD = "held"
    HANG = "hang"
    DRIBBLE = "dribble"
    CUT_BODY = "cut-body"
    CUT_CHUNKED = "cut-chunked"
    CUT_NO_LENGTH = "cut-no-length"
    RESET = "reset"
    HANG_UP = "hang-up"


ITEM_MODES = frozenset(
    {
        FaultMode.WRONG_ID,
        FaultMode.MISSING_ID,
        FaultMode.MISSING_UPDATED_AT,
        FaultMode.BAD_UPDATED_AT,
        FaultMode.NAIVE_UPDATED_AT,
        FaultMode.WRONG_TYPE,
        FaultMode.MANY_MEMBERS,
        FaultMode.REGRESS,
    }
)
"""These faults spoil a training in the answers that have only this training, and in the list."""

_LIST_MODES = frozenset(
    {
        FaultMode.LIST_REFUSED,
        FaultMode.LIST_REFORMATTED,
        FaultMode.LIST_FIELD_MISSING,
        FaultMode.LIST_ROUNDED,
        FaultMode.LIST_ROW_TWICE,
    }
)

_DELAYS = {
    FaultMode.SLOW: 1.0,
    FaultMode.LATE: 1.0,
    FaultMode.DRIBBLE: 0.05,
    FaultMode.RATE_LIMITED: 1.0,
    FaultMode.HANG_UP: 0.003,
}
# In these modes `Fault.delay` is not the wait before the answer is made.
_MODES_WITH_OTHER_DELAY = {
    FaultMode.LATE,
    FaultMode.DRIBBLE,
    FaultMode.RATE_LIMITED,
    FaultMode.HANG,
    FaultMode.HANG_UP,
}


class CallKind(StrEnum):
    """The kinds of calls that faults distinguish."""

    READ = "read"
    LIST = "list"
    WRITE = "write"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request with its whole body. `endpoint` is the method and the template of the route."""

    method: str
    path: str
    endpoint: str
    kind: CallKind
    training_id: str | None
    token: str | None
    query: QueryParams
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. If `ids` is None, it concerns all trainings. If `on` is None, it concerns all
    kinds of calls. If `delay` or `size` is None, the mode's default applies."""

    mode: FaultMode
    ids: frozenset[str] | None = None
    on: frozenset[CallKind] | None = None
    delay: float | None = None
    """Seconds to wait before the answer is made. In some modes the seconds mean something else:

    late          the wait before the answer is sent
    dribble       the wait after each byte
    rate-limited  the `Retry-After`
    hang          the wait before the connection is closed (None: it is never closed)
    hang-up       the time between the answer and the close of the connection. The answer does not
                  say that the connection will be closed
    """
    size: int | None = None
    """In the modes `too-large` and `too-large-chunked`: the length of the body in bytes."""

    def concerns(self, call: Call) -> bool:
        """Whether the fault applies to the call."""
        if self.on is not None and call.kind not in self.on:
            return False
        if self.mode in _LIST_MODES:
            return call.kind is CallKind.LIST
        if self.ids is None or call.training_id in self.ids:
            return True
        return call.kind is CallKind.LIST and self.mode in ITEM_MODES

    def spoils(self, training_id: object) -> bool:
        """Whether the fault spoils this training."""
        return self.ids is None or training_id in self.ids

    @property
    def own_delay(self) -> float:
        """`delay`, or the mode's default if `delay` is None. In seconds."""
        return self.delay if self.delay is not None else _DELAYS.get(self.mode, 0.0)

    @property
    def delay_before(self) -> float:
        """Seconds to wait before the answer is made."""
        return 0.0 if self.mode in _MODES_WITH_OTHER_DELAY else self.own_delay


class FaultBoard:
    """The active faults. A call meets the newest fault that concerns it."""

    def __init__(self) -> None:
        self._posted: list[_Posted] = []
        self._lifted = asyncio.Event()

    @property
    def lifted(self) -> asyncio.Event:
        """The event that the next `clear` sets. Calls with the fault `held` wait for it."""
        return self._lifted

    def post(self, fault: Fault, count: int | None = None) -> None:
        """Make a fault active until `count` calls have met it (None: until it is cleared)."""
        self._posted.insert(0, _Posted(fault, count))

    def clear(self) -> None:
        """End all faults. Calls that wait because of the fault `held` are answered now."""
        self._posted.clear()
        self._lifted.set()
        self._lifted = asyncio.Event()

    def pick(self, call: Call) -> Fault | None:
        """The fault that this call meets. The call counts towards the fault's `count`."""
        posted = next((posted for posted in self._posted if posted.fault.concerns(call)), None)
        if posted is None:
            return None
        if posted.left is not None:
            posted.left -= 1
            self._posted = [each for each in self._posted if each.left != 0]
        return posted.fault


@dataclass(slots=True)
class _Posted:
    fault: Fault
    left: int | None


_SINGLE_SIZE = 2 * 1024 * 1024
_LIST_SIZE = 17 * 1024 * 1024
_CHUNK = 64 * 1024


def replacement(fault: Fault, call: Call) -> Response | None:
    """The answer that the fault puts in place of the API's answer. None: the API answers."""
    if fault.mode is FaultMode.RATE_LIMITED:
        headers = {"Retry-After": f"{fault.own_delay:.0f}"}
        return error(429, "Too Many Requests", headers)
    if fault.mode is FaultMode.REDIRECT:
        return Response(status_code=302, headers={"Location": f"{call.path}?redirected=1"})
    make = _REPLACEMENTS.get(fault.mode)
    return make() if make else None


def distorted(fault: Fault, call: Call, answer: Response) -> Response:
    """The API's answer, spoilt by the fault. Only a 200 is spoilt."""
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


def _with_members(document: Document) -> None:
    document.update({f"member_{number}": number for number in range(1_000)})


def _naive(document: Document) -> None:
    document["updated_at"] = str(document["updated_at"]).removesuffix("Z")


def _reversed_fields(document: Document) -> None:
    for name in reversed(list(document)):
        document[name] = document.pop(name)


def _rounded(document: Document) -> None:
    """Add a millisecond to `updated_at`, as if the list rounded times up, and answers for single
    trainings rounded them down."""
    _shift_updated_at(document, timedelta(milliseconds=1))


def _shift_updated_at(document: Document, by: timedelta) -> None:
    moment = datetime.fromisoformat(str(document["updated_at"])) + by
    document["updated_at"] = instant(moment)


def _row_twice(fault: Fault, _call: Call, answer: Response) -> Response:
    """Show a spoilt training twice. The next row of the page becomes a copy of the training's row,
    with an `updated_at` one second later, so the training of the next row is missing. If the fault
    concerns all trainings, every second training of the page is missing. The last row of the page
    has no next row, so it is not copied. A real list can have such copies if trainings change
    while the list is sorted."""
    decoded = msgspec.json.decode(bytes(answer.body), type=Document)
    items = decoded["items"]
    assert isinstance(items, list), "a page of the list has its items"
    rows: list[Document] = []
    for row in items:
        before = rows[-1] if rows else row
        is_spoilt = fault.spoils(before["id"]) and sum(r["id"] == before["id"] for r in rows) == 1
        rows.append(dict(before) if is_spoilt else row)
        if is_spoilt:
            _shift_updated_at(rows[-1], timedelta(seconds=1))
    return _with_body(answer, msgspec.json.encode(decoded | {"items": rows}))


def _regress(document: Document) -> None:
    _shift_updated_at(document, -timedelta(hours=1))
    for name in {"content", "answer"} & document.keys():
        document[name] = f"As it was an hour before. {document[name]}"


def _padded(fault: Fault, call: Call, answer: Response) -> Response:
    default = _LIST_SIZE if call.kind is CallKind.LIST else _SINGLE_SIZE
    # Spaces after the value keep the body valid JSON.
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


def _old(_fault: Fault, _call: Call, answer: Response) -> Response:
    answer.headers["age"] = "100000"
    return answer


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
    FaultMode.PROXY_401: lambda: proxy_error(401),
    FaultMode.PROXY_403: lambda: proxy_error(403),
    FaultMode.PROXY_404: lambda: proxy_error(404),
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
    FaultMode.MANY_MEMBERS: _with_members,
    FaultMode.REGRESS: _regress,
    FaultMode.LIST_FIELD_MISSING: _without("draft_content"),
    FaultMode.LIST_REFORMATTED: _reversed_fields,
    FaultMode.LIST_ROUNDED: _rounded,
}

_DISTORTIONS: dict[FaultMode, Callable[[Fault, Call, Response], Response]] = {
    FaultMode.STATUS_201: _created,
    FaultMode.MALFORMED_JSON: _malformed,
    FaultMode.NOT_AN_OBJECT: _in_an_array,
    FaultMode.TOO_LARGE: _padded,
    FaultMode.TOO_LARGE_CHUNKED: _padded_chunked,
    FaultMode.GZIP: _compressed,
    FaultMode.OLD: _old,
    FaultMode.LIST_ROW_TWICE: _row_twice,
}
