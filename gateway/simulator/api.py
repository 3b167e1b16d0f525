"""The documented endpoints: the answers of the API without faults and limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from zlib import crc32

import msgspec
from starlette.datastructures import QueryParams
from starlette.responses import Response

from gateway.simulator.answers import Refusal, entity_tag, http_date, is_unchanged, json_answer
from gateway.simulator.catalogue import Catalogue
from gateway.simulator.control import Scope
from gateway.simulator.faults import Call
from gateway.simulator.training import (
    DraftInput,
    Training,
    TrainingInput,
    TrainingType,
    as_input,
    document,
    encode,
)
from gateway.simulator.world import World

_T = TypeVar("_T")
Endpoint = Callable[[World, Call], Response]

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 100
_MOST_DIGITS = 18


def read(world: World, call: Call) -> Response:
    """`GET /training/{id}`."""
    catalogue = _permitted_catalogue(world, call)
    return _single(world, call, catalogue.get(_id(call)))


def listing(world: World, call: Call) -> Response:
    """`GET /training`, by default with the newest training first."""
    catalogue = _permitted_catalogue(world, call)
    limit = _number(call.query, "limit", _DEFAULT_LIMIT, 1, _MAX_LIMIT)
    offset = _number(call.query, "offset", 0, 0, None)
    found = _sorted(_filtered(catalogue.newest_first(), call.query), call.query)
    rows = found[offset : offset + limit]
    page = {
        "items": [document(training, world.config.revision) for training in rows],
        "total": len(found),
        "limit": limit,
        "offset": offset,
        "has_more": offset + len(rows) < len(found),
    }
    return json_answer(encode(page, world.config.revision))


def create(world: World, call: Call) -> Response:
    """`POST /training`."""
    catalogue = _permitted_catalogue(world, call, writes=True)
    training = catalogue.insert(_decoded(call.body, TrainingInput))
    return json_answer(_body(world, training), 201)


def update(world: World, call: Call) -> Response:
    """`PUT /training/{id}`. A field that the body leaves out keeps its value."""
    catalogue = _permitted_catalogue(world, call, writes=True)
    before = msgspec.to_builtins(as_input(catalogue.get(_id(call))))
    changes = _decoded(call.body, dict[str, object])
    body = _converted(before | changes, TrainingInput)
    return json_answer(_body(world, catalogue.write(_id(call), body)))


def update_draft(world: World, call: Call) -> Response:
    """`PUT /training/{id}/draft`."""
    catalogue = _permitted_catalogue(world, call, writes=True)
    training = catalogue.draft(_id(call), _decoded(call.body, DraftInput))
    return json_answer(_body(world, training))


def delete(world: World, call: Call) -> Response:
    """`DELETE /training/{id}`. The status 204 is a guess, because the API documents none."""
    _permitted_catalogue(world, call, writes=True).delete(_id(call))
    return Response(status_code=204)


def nowhere(_world: World, call: Call) -> Response:
    """404, for a route that the API does not have."""
    raise Refusal(404, f"Cannot {call.method} {call.path}")


def _permitted_catalogue(world: World, call: Call, *, writes: bool = False) -> Catalogue:
    key = world.keys.get(call.token)
    if key is None:
        raise Refusal(401)
    enough = key.scope is Scope.FULL or (key.scope is Scope.READ and not writes)
    if not enough or call.training_id in world.config.forbidden:
        raise Refusal(403, "Forbidden resource")
    return world.catalogue(key.organisation)


def _id(call: Call) -> str:
    assert call.training_id is not None
    return call.training_id


def _single(world: World, call: Call, training: Training) -> Response:
    config = world.config
    body = _body(world, training)
    tag = entity_tag(body, config.etag)
    modified = http_date(training.updated_at) if config.last_modified else None
    offered = {"ETag": tag, "Last-Modified": modified}
    headers = {name: value for name, value in offered.items() if value is not None}
    if is_unchanged(call.headers, tag, modified):
        return Response(status_code=304, headers=headers)
    return json_answer(body, headers=headers)


def _body(world: World, training: Training) -> bytes:
    return encode(document(training, world.config.revision), world.config.revision)


def _number(query: QueryParams, name: str, default: int, low: int, high: int | None) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise Refusal(400, f"{name} must be an integer number")
    if int(text) < low:
        raise Refusal(400, f"{name} must not be less than {low}")
    if high is not None and int(text) > high:
        raise Refusal(400, f"{name} must not be greater than {high}")
    return int(text)


def _filtered(trainings: list[Training], query: QueryParams) -> list[Training]:
    if (kind := _choice(query, "type", set(TrainingType))) is not None:
        trainings = [training for training in trainings if training.type == kind]
    if (draft := _choice(query, "is_draft", {"true", "false"})) is not None:
        trainings = [training for training in trainings if training.is_draft == (draft == "true")]
    if search := query.get("search", "").casefold():
        trainings = [
            training
            for training in trainings
            if search in training.title.casefold() or search in training.content.casefold()
        ]
    return trainings


def _sorted(trainings: list[Training], query: QueryParams) -> list[Training]:
    if _choice(query, "sort_by", {"created_at", "handoff_count"}) != "handoff_count":
        return trainings
    # No answer shows `handoff_count`, so trainings have none here. They are sorted by a checksum of
    # the id, because it never changes.
    return sorted(trainings, key=lambda training: crc32(training.id.encode()), reverse=True)


def _choice(query: QueryParams, name: str, allowed: set[str] | set[TrainingType]) -> str | None:
    text = query.get(name)
    if text is not None and text not in allowed:
        raise Refusal(400, f"{name} must be one of: {', '.join(sorted(allowed))}")
    return text


def _decoded(body: bytes, into: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=into)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Refusal(400, str(fault)) from fault


def _converted(value: object, into: type[_T]) -> _T:
    try:
        return msgspec.convert(value, into)
    except msgspec.ValidationError as fault:
        raise Refusal(400, str(fault)) from fault
