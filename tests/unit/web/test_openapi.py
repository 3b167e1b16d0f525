"""The planes' descriptions: sound OpenAPI, and of what is really there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.core.status import Problem
from gateway.web.openapi import admin_document, data_document
from tests.unit.web.operations import Admin
from tests.unit.web.planes import Data, ask

DOCUMENTS: list[Callable[[str], bytes]] = [
    data_document,
    partial(data_document, writes=True),
    admin_document,
]
METHODS = ("get", "head", "post", "put", "delete", "patch", "options", "trace")


def described(document: Callable[[str], bytes]) -> dict[str, Any]:
    """The document as values."""
    words: dict[str, Any] = json.loads(document("1.2.3"))
    return words


def operations(words: dict[str, Any]) -> set[tuple[str, str]]:
    """Each method of each path."""
    return {
        (method.upper(), path)
        for path, item in words["paths"].items()
        for method in item
        if method in METHODS
    }


def routed(application: Starlette, *names: tuple[str, str]) -> set[tuple[str, str]]:
    """The same of an application's routes, with these names for what a route takes as a whole."""
    found = set()
    for route in application.routes:
        assert isinstance(route, Route)
        path = dict(names).get(route.path, route.path)
        found |= {(method, path) for method in route.methods or ()}
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_description_is_sound(document: Callable[[str], bytes]) -> None:
    """OpenAPI 3.1, as its own schema has it, of this version."""
    words = described(document)

    OpenAPIV31SpecValidator(words).validate()
    assert words["openapi"].startswith("3.1.")
    assert words["info"]["version"] == "1.2.3"


def test_every_route_is_described_and_nothing_else() -> None:
    """A route that comes is missing here until somebody describes it."""
    data = routed(Data().application, ("/{path:path}", "/training/{id}"))
    admin = routed(Admin().application, ("/explain/{path:path}", "/explain/{id}"))

    assert operations(described(data_document)) == data
    assert operations(described(partial(data_document, writes=True))) == data | {
        ("PUT", "/training/{id}"),
        ("DELETE", "/training/{id}"),
        ("PUT", "/training/{id}/draft"),
        ("POST", "/training"),
    }
    assert operations(described(admin_document)) == admin


@pytest.mark.parametrize("document", DOCUMENTS)
def test_problems_have_the_statuses_that_they_are_answered_with(
    document: Callable[[str], bytes],
) -> None:
    """And every word that a caller can meet is in the schema."""
    words = described(document)

    kinds = words["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert kinds == [f"urn:gateway:problem:{each}" for each in Problem]
    for method, path in operations(words):
        responses = words["paths"][path][method.lower()]["responses"]
        assert {"400", "431", "408", "503"} <= responses.keys()


def test_a_client_is_told_of_its_own_limit() -> None:
    """In words of ours, for the API's 429 goes to nobody; and before it is reached."""
    responses = described(data_document)["paths"]["/training/{id}"]["get"]["responses"]

    assert responses["429"]["description"] == "client-rate-limited"
    assert {"RateLimit", "RateLimit-Policy"} <= responses["200"]["headers"].keys()


def test_an_id_is_what_the_planes_take_for_one() -> None:
    """The pattern is the grammar itself."""
    for document in DOCUMENTS:
        words = described(document)
        path = "/explain/{id}" if document is admin_document else "/training/{id}"
        schema = words["paths"][path]["get"]["parameters"][0]["schema"]
        assert re.search(schema["pattern"], "a" * 128)
        assert not re.search(schema["pattern"], "a" * 129)
        assert not re.search(schema["pattern"], "a/b")


async def test_both_planes_show_theirs() -> None:
    """At /openapi.json; the operators' one where operators are let in."""
    data = await ask(Data().application, "/openapi.json")
    admin = await Admin().ask("/openapi.json")
    closed = await Admin("0.0.0.0", "t").ask("/openapi.json")

    assert "/training/{id}" in data.json()["paths"]
    assert "/invalidate" in admin.json()["paths"]
    assert data.headers["content-type"] == admin.headers["content-type"] == "application/json"
    assert closed.status_code == 401
