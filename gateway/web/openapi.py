"""Both planes described for machines: OpenAPI 3.1, made from the routes' own words.

Statuses, grammars and schemas come from where they are enforced; a test compares the paths and
methods with the routes. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import json
from starlette.requests import Request
from starlette.responses import Response

from gateway import __version__
from gateway.core.status import Problem
from gateway.core.training import ID
from gateway.web.ids import PARTITION
from gateway.web.live import KIND
from gateway.web.orders import ORDERS, Receipt
from gateway.web.page import FILES
from gateway.web.problems import status_of

Words = dict[str, object]

_PROBLEM_TYPE: Final = "application/problem+json"
_JSON: Final = "application/json"
_REF: Final = "#/components/schemas/{name}"
_INSTANT: Final = {"type": "string", "format": "date-time"}
_EVERYWHERE = (Problem.BAD_REQUEST, Problem.HEAD_TOO_LARGE, Problem.HEAD_TOO_SLOW)
_BODIES = (Problem.TOO_LARGE, Problem.TOO_MANY_CONNECTIONS, Problem.INTERNAL)
_REFUSED = (Problem.CREDENTIAL_MISSING, Problem.CREDENTIAL_UNKNOWN)
_ASKED = "If-None-Match If-Modified-Since Cache-Control Training-Min-Updated-At traceparent "
_RATES = ("RateLimit", "RateLimit-Policy")
_TOLD = ("ETag", "Cache-Control", "Cache-Status", "Training-Updated-At", "X-Request-ID", *_RATES)
_UPSTREAM = tuple(each for each in Problem if status_of(each) in (502, 503, 504))


def data_document(version: str, *, writes: bool = False) -> bytes:
    """What callers may ask, and where they may write."""
    training = _training()
    on_one, on_draft, on_all = _written() if writes else ({}, {}, {})
    return _document(
        "Training Gateway",
        version,
        {
            "/training/{id}": {"get": training, "head": _without_bodies(training), **on_one},
            **on_draft,
            **on_all,
            **_probes(),
            "/openapi.json": _read(_answer("this description", _JSON, {"type": "object"})),
        },
    )


def admin_document(version: str) -> bytes:
    """What operators may ask."""
    closed = (*_REFUSED,)
    any_object: Words = {"type": "object"}
    text: Words = {"type": "string"}
    told: Words = {
        "200": _answer("done in every replica", _JSON, _ref("Receipt")),
        "202": _answer("done, and not confirmed by every replica", _JSON, _ref("Receipt")),
    }
    partition = _parameter("partition", "query", {"type": "string", "pattern": _exact(PARTITION)})
    explain = _read(
        _answer("what is held of a training", _JSON, any_object),
        *(Problem.BAD_ID, Problem.NO_SUCH_ROUTE, *closed),
        parameters=[_id_parameter(), partition],
    )
    return _document(
        "Training Gateway, for operators",
        version,
        {
            **{
                path: _read(_answer(f"the live page: {name}", kind, text))
                for path, name, kind in FILES
            },
            "/live": _read(_answer("a line now, and one a second", KIND, text), *closed),
            **_probes(),
            "/metrics": _read(_metrics()),
            "/status": _read(_answer("the first numbers", _JSON, any_object), *closed),
            "/explain/{id}": explain,
            "/invalidate": {"post": _order("Invalidate", told)},
            "/purge": {"post": _order("Purge", told)},
            "/mode": {"post": _order("SetMode", {"200": _answer("set", _JSON, _ref("SetMode"))})},
            "/openapi.json": _read(_answer("this description", _JSON, any_object), *closed),
        },
    )


def served(document: Callable[[str], bytes]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that shows a description of this version."""
    body = document(__version__)

    async def answer(request: Request) -> Response:
        return Response(body, media_type=_JSON)

    return answer


def _document(title: str, version: str, paths: Words) -> bytes:
    _, schemas = json.schema_components([Receipt, *ORDERS.values()], ref_template=_REF)
    return json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": title, "version": version},
            "paths": paths,
            "security": [{"token": []}],
            "components": {
                "schemas": {**schemas, "Problem": _problem_schema(), "Training": _TRAINING},
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _training() -> Words:
    text: Words = {"type": "string"}
    stored = _answer("the training, as the API sent it", _JSON, _ref("Training"))
    stored["headers"] = {name: {"schema": text} for name in _TOLD} | {
        "Age": {"schema": {"type": "integer", "minimum": 0}}
    }
    passed = {"content": {kind: {"schema": {"type": "object"}} for kind in (_JSON, _PROBLEM_TYPE)}}
    return {
        "parameters": [
            _id_parameter(),
            *(_parameter(name, "header", text) for name in (_ASKED + "X-Request-ID").split()),
        ],
        "responses": {
            "200": stored,
            "304": {"description": "the caller's version is the one"},
            **_problems(*_EVERYWHERE, *_BODIES, *_REFUSED, Problem.CLIENT_RATE_LIMITED, *_UPSTREAM),
            "4XX": {"description": "what the API says to the caller, or a problem", **passed},
        },
    }


def _written() -> tuple[Words, Words, Words]:
    """The writes of a training, of its draft, and of the collection."""
    any_body: Words = {"content": {"*/*": {"schema": {}}}}
    problems = _problems(*_EVERYWHERE, *_BODIES, *_REFUSED, Problem.CLIENT_RATE_LIMITED, *_UPSTREAM)
    passed: Words = {"description": "what the API answers", **any_body}
    responses = {**problems, **dict.fromkeys(("2XX", "4XX", "5XX"), passed)}
    operation: Words = {"requestBody": any_body, "responses": responses}
    on_one: Words = {**operation, "parameters": [_id_parameter()]}
    draft: Words = {"/training/{id}/draft": {"put": on_one}}
    return {"put": on_one, "delete": on_one}, draft, {"/training": {"post": operation}}


def _without_bodies(operation: Words) -> Words:
    """The same asked with HEAD."""
    responses = operation["responses"]
    assert isinstance(responses, dict)
    bare = {
        status: {key: value for key, value in each.items() if key != "content"}
        for status, each in responses.items()
    }
    return {**operation, "responses": bare}


def _probes() -> Words:
    text: Words = {"type": "string"}
    ready = _read(_answer("send traffic", "text/plain", text))
    for operation in ready.values():
        assert isinstance(operation, dict)
        unready: Words = {"description": "send no traffic, or no room for another connection"}
        kinds: Words = {kind: {"schema": {}} for kind in ("text/plain", _PROBLEM_TYPE)}
        operation["responses"]["503"] = unready | {"content": kinds}
    return {
        "/livez": _read(_answer("the process answers", "text/plain", text)),
        "/readyz": ready,
    }


def _metrics() -> Words:
    kinds = ("text/plain", "application/openmetrics-text")
    return {
        "description": "Prometheus text, or OpenMetrics where `Accept` asks for it",
        "content": {kind: {"schema": {"type": "string"}} for kind in kinds},
    }


def _order(name: str, told: Words) -> Words:
    problems = _problems(*_EVERYWHERE, *_BODIES, *_REFUSED, Problem.REDIS_UNAVAILABLE)
    body = {"required": True, "content": {_JSON: {"schema": _ref(name)}}}
    return {"requestBody": body, "responses": {**told, **problems}}


def _read(answer: Words, *problems: Problem, parameters: list[Words] | None = None) -> Words:
    """GET and HEAD; what needs no credential says so."""
    responses: Words = {"200": answer, **_problems(*_EVERYWHERE, *_BODIES, *problems)}
    read: Words = {"parameters": parameters or [], "responses": responses}
    if Problem.CREDENTIAL_MISSING not in problems:
        read["security"] = []
    return {"get": read, "head": _without_bodies(read)}


def _problems(*problems: Problem) -> Words:
    """By status, with the words that may stand in `type`."""
    by_status: dict[str, list[str]] = {}
    for problem in dict.fromkeys(problems):
        by_status.setdefault(str(status_of(problem)), []).append(str(problem))
    return {
        status: _answer(" or ".join(words), _PROBLEM_TYPE, _ref("Problem"))
        for status, words in sorted(by_status.items())
    }


def _answer(description: str, kind: str, schema: Words) -> Words:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _parameter(name: str, place: str, schema: Words) -> Words:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _id_parameter() -> Words:
    schema: Words = {"type": "string", "pattern": _exact(ID), "not": {"enum": [".", ".."]}}
    return _parameter("id", "path", schema)


def _exact(grammar: str) -> str:
    return f"^{grammar}$"


def _ref(name: str) -> Words:
    return {"$ref": _REF.format(name=name)}


def _problem_schema() -> Words:
    kinds = [f"urn:gateway:problem:{each}" for each in Problem]
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["type", "status", "title", "detail", "request_id"],
        "properties": {
            "type": {"enum": kinds},
            "status": {"type": "integer"},
            **dict.fromkeys(("title", "detail", "request_id"), text),
        },
    }


_TRAINING: Final[Words] = {
    "type": "object",
    "required": ["id", "updated_at"],
    "properties": {"id": {"type": "string"}, "updated_at": _INSTANT},
}
