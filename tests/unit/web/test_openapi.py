"""The planes' descriptions: sound OpenAPI, and of what is really there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from msgspec.json import schema_components
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.core.upstream.training import _CHANNELS as CHANNELS
from gateway.core.upstream.training import _FIELDS as FIELDS
from gateway.core.upstream.training import _TYPES as TYPES
from gateway.core.upstream.training import ID
from gateway.core.vocabulary import Problem
from gateway.web.admin.orders import ORDERS, Receipt
from gateway.web.openapi import admin_document, data_document
from gateway.web.problems import status_of
from gateway.web.request import PARTITION
from tests.unit.web.operations import Admin
from tests.unit.web.planes import Data, ask

DOCUMENTS: list[Callable[[str], bytes]] = [
    data_document,
    partial(data_document, writes=True),
    admin_document,
]
NAMED = re.compile("`([a-z-]+)`")
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
        for method in resolved(words, item)
        if method in METHODS
    }


def resolved(words: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The part, or the component that it refers to."""
    for step in part["$ref"].split("/")[1:] if "$ref" in part else ():
        words = part = words[step]
    return part


def answered(words: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and responses of each operation but HEAD, whose answers are those of GET."""
    for path, item in words["paths"].items():
        for method, operation in resolved(words, item).items():
            if method != "head":
                responses = operation["responses"]
                yield path, method, {key: resolved(words, responses[key]) for key in responses}


def bare(schema: Any) -> Any:
    """The schema without words for people, and without the grammars that the code judges by."""
    if isinstance(schema, dict):
        spared = ("title", "description", "pattern", "not", "format")
        return {key: bare(value) for key, value in schema.items() if key not in spared}
    return [bare(each) for each in schema] if isinstance(schema, list) else schema


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
        *((method, "/training/{id}/{below}") for method in ("DELETE", "PATCH", "POST", "PUT")),
        ("POST", "/training"),
    }
    assert operations(described(admin_document)) == admin


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_status_names_the_problems_that_have_it(document: Callable[[str], bytes]) -> None:
    """A problem's word stands in the schema and beside no status but its own."""
    words = described(document)

    kinds = words["components"]["schemas"]["ProblemType"]["enum"]
    assert kinds == [f"urn:gateway:problem:{each}" for each in Problem]
    for path, method, responses in answered(words):
        named = {status: NAMED.findall(each["description"]) for status, each in responses.items()}
        wrong = [
            (path, method, status, word)
            for status, found in named.items()
            for word in set(found) & set(Problem)
            if str(status_of(Problem(word))) != status
        ]
        assert wrong == []
        assert {"400", "408", "413", "431", "500", "503"} <= responses.keys()


def test_every_problem_is_beside_a_status() -> None:
    """A new problem is missing here until somebody describes where a caller meets it."""
    named = {
        word
        for document in DOCUMENTS
        for _, _, responses in answered(described(document))
        for each in responses.values()
        for word in NAMED.findall(each["description"])
    }

    # The range "4XX" covers what has no line of its own.
    assert set(Problem) - named == {Problem.METHOD_NOT_ALLOWED}


def test_a_training_is_described_as_the_gateway_reads_it() -> None:
    """The fourteen fields with their JSON types and known words; only two of them are required."""
    schemas = described(data_document)["components"]["schemas"]
    training = schemas["Training"]
    first = {
        "string": b'"',
        "boolean": b"tf",
        "number": b"-0123456789",
        "array": b"[",
        "null": b"n",
    }

    types = {name: _types_of(field) for name, field in training["properties"].items()}
    assert {
        name: b"".join(first[each] for each in found) for name, found in types.items()
    } == FIELDS
    assert training["required"] == ["id", "updated_at"]
    assert training["additionalProperties"] is True
    assert set(schemas["TrainingType"]["enum"]) == TYPES
    assert set(schemas["Channel"]["enum"]) == CHANNELS


def _types_of(field: dict[str, Any]) -> list[str]:
    """The JSON types of a field. An open enum is a string that may be one of the known words."""
    if "anyOf" in field:
        known, other = field["anyOf"]
        assert known["$ref"].startswith("#/components/schemas/")
        return [other["type"]]
    return field["type"] if isinstance(field["type"], list) else [field["type"]]


def test_each_operation_for_callers_has_a_name_of_its_own() -> None:
    """Generators make the names of functions of them."""
    words = described(partial(data_document, writes=True))
    names = [
        operation["operationId"]
        for item in words["paths"].values()
        for method, operation in item.items()
        if method in METHODS
    ]

    assert len(set(names)) == len(names) == len(operations(words))
    assert {"get_training", "replace_training", "create_training"} <= set(names)


def test_orders_and_receipts_are_as_they_are_read_and_written() -> None:
    """Fields, types, bounds and what is required are those that msgspec has of the structs."""
    words = described(admin_document)["components"]["schemas"]
    structs = [Receipt, *ORDERS.values()]
    _, schemas = schema_components(structs, ref_template="#/components/schemas/{name}")

    assert {name: bare(words[name]) for name in schemas} == {
        name: bare(schema) for name, schema in schemas.items()
    }


def test_a_client_is_told_of_its_own_limit() -> None:
    """In words of ours, for the API's 429 goes to nobody; and before it is reached."""
    found = {(path, method): each for path, method, each in answered(described(data_document))}
    responses = found["/training/{id}", "get"]

    assert "`client-rate-limited`" in responses["429"]["description"]
    assert {"RateLimit", "RateLimit-Policy"} <= responses["200"]["headers"].keys()


def test_an_id_is_what_the_planes_take_for_one() -> None:
    """The pattern is the grammar itself."""
    for document in DOCUMENTS:
        words = described(document)
        schema = words["components"]["parameters"]["Id"]["schema"]
        assert schema == {"type": "string", "pattern": f"^{ID}$", "not": {"enum": [".", ".."]}}


def test_a_partition_is_what_the_admin_plane_takes_for_one() -> None:
    """The pattern is the grammar itself, in the query and in an order."""
    components = described(admin_document)["components"]

    pattern = f"^{PARTITION}$"
    assert components["parameters"]["Partition"]["schema"]["pattern"] == pattern
    assert components["schemas"]["Purge"]["properties"]["partition"]["pattern"] == pattern


async def test_both_planes_show_theirs() -> None:
    """At /openapi.json; the operators' one where operators are let in."""
    data = await ask(Data().application, "/openapi.json")
    admin = await Admin().ask("/openapi.json")
    closed = await Admin("0.0.0.0", "t").ask("/openapi.json")

    assert "/training/{id}" in data.json()["paths"]
    assert "/invalidate" in admin.json()["paths"]
    assert data.headers["content-type"] == admin.headers["content-type"] == "application/json"
    assert closed.status_code == 401
