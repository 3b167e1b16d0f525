"""The OpenAPI 3.1 descriptions of both planes, one file for each.

Tests compare the files with the routes, the problems and real responses. `x-setting` marks the
parts that depend on a setting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gateway import __version__

_JsonObject = dict[str, object]

_WRITES: Final = 'server.writes = "forward"'


class _Document(msgspec.Struct):
    """A description. Only these members of its file are served."""

    openapi: str
    info: _JsonObject
    paths: dict[str, _JsonObject]
    security: list[_JsonObject]
    components: _JsonObject


def data_document(version: str, *, writes: bool = False) -> bytes:
    """The description of the data plane. `writes` False: operations that write are left out."""
    document = _read("data.json", version)
    if not writes:
        reading = {path: _reading(item) for path, item in document.paths.items()}
        document.paths = {path: item for path, item in reading.items() if item}
    return msgspec.json.encode(document)


def admin_document(version: str) -> bytes:
    """The description of the admin plane."""
    return msgspec.json.encode(_read("admin.json", version))


def served(document: Callable[[str], bytes]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that serves a description with the gateway's version."""
    body = document(__version__)

    async def answer(request: Request) -> Response:
        return Response(body, media_type="application/json")

    return answer


def _read(name: str, version: str) -> _Document:
    text = (files(__name__) / name).read_bytes()
    document = msgspec.json.decode(text, type=_Document)
    document.info["version"] = version
    return document


def _reading(item: _JsonObject) -> _JsonObject:
    """A path's operations without those that need `server.writes`."""
    return {
        method: operation
        for method, operation in item.items()
        if not (isinstance(operation, dict) and operation.get("x-setting") == _WRITES)
    }
