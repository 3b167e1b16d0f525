"""The routes of orders and reports, below `/_control`. Requests to these routes are not limited or
counted, and need no key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.simulator.answers import error, json_answer
from gateway.simulator.catalogue import NoSuchTraining
from gateway.simulator.control import (
    AnswersOrder,
    DeleteOrder,
    EditingOrder,
    EditOrder,
    FaultOrder,
    InsertOrder,
    KeyOrder,
    LatencyOrder,
    LimitOrder,
    Order,
    RevisionOrder,
)
from gateway.simulator.faults import Fault
from gateway.simulator.training import Training, document, encode
from gateway.simulator.world import Key, World

_O = TypeVar("_O", bound=Order)


def control_routes(world: World) -> list[Route]:
    """The routes below `/_control`."""
    control = _Control(world)
    return [
        _order("/fault", FaultOrder, control.fault),
        Route("/fault", control.clear_faults, methods=["DELETE"]),
        _order("/revision", RevisionOrder, control.revision),
        _order("/edit", EditOrder, control.edit),
        _order("/delete", DeleteOrder, control.delete),
        _order("/insert", InsertOrder, control.insert),
        _order("/editing", EditingOrder, control.editing),
        _order("/limit", LimitOrder, control.limit),
        _order("/latency", LatencyOrder, control.latency),
        _order("/answers", AnswersOrder, control.answers),
        _order("/keys", KeyOrder, control.keys),
        Route("/stats", control.stats),
        Route("/reset-stats", control.reset_stats, methods=["POST"]),
        Route("/requests", control.requests),
        Route("/training/{id}", control.training),
    ]


def _order(path: str, kind: type[_O], obey: Callable[[_O], Response]) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            return obey(msgspec.json.decode(await request.body(), type=kind))
        except NoSuchTraining:
            return error(404, "Training not found")
        except (msgspec.DecodeError, UnicodeDecodeError) as invalid:
            return error(400, str(invalid))

    return Route(path, endpoint, methods=["POST"])


class _Control:
    def __init__(self, world: World) -> None:
        self._world = world

    def fault(self, order: FaultOrder) -> Response:
        fault = Fault(
            mode=order.mode, ids=order.ids, on=order.on, delay=order.delay, size=order.size
        )
        self._world.faults.post(fault, order.count)
        return _done()

    async def clear_faults(self, _request: Request) -> Response:
        self._world.faults.clear()
        return _done()

    def revision(self, order: RevisionOrder) -> Response:
        self._world.config = replace(self._world.config, revision=order.name)
        return _done()

    def edit(self, order: EditOrder) -> Response:
        if order.updated_at is not None and order.updated_at.tzinfo is None:
            return error(400, "updated_at must have an offset from UTC")
        catalogue = self._world.catalogue(order.org)
        return self._shown(catalogue.edit(order.id, order.content, at=order.updated_at))

    def delete(self, order: DeleteOrder) -> Response:
        return self._shown(self._world.catalogue(order.org).delete(order.id))

    def insert(self, order: InsertOrder) -> Response:
        return self._shown(self._world.catalogue(order.org).insert(order.training, order.id))

    def editing(self, order: EditingOrder) -> Response:
        self._world.editor.change(order.every)
        return _done()

    def limit(self, order: LimitOrder) -> Response:
        self._world.limiter.change(order.limit, order.window)
        self._world.config = replace(self._world.config, retry_after=order.retry_after)
        return _done()

    def latency(self, order: LatencyOrder) -> Response:
        self._world.config = replace(self._world.config, latency=order.latency, jitter=order.jitter)
        return _done()

    def answers(self, order: AnswersOrder) -> Response:
        self._world.config = replace(
            self._world.config,
            etag=order.etag,
            last_modified=order.last_modified,
            cache_control=order.cache_control,
            cookie=order.cookie,
        )
        return _done()

    def keys(self, order: KeyOrder) -> Response:
        if order.revoked:
            self._world.keys.revoke(order.token)
        else:
            organisation = order.org or self._world.organisation
            self._world.keys.add(order.token, Key(organisation, order.scope))
        return _done()

    async def stats(self, _request: Request) -> Response:
        return _report(self._world.journal.stats(self._world.limiter))

    async def reset_stats(self, _request: Request) -> Response:
        self._world.journal.reset()
        self._world.limiter.reset_fullest()
        return _done()

    async def requests(self, _request: Request) -> Response:
        return _report(self._world.journal.last_requests())

    async def training(self, request: Request) -> Response:
        catalogue = self._world.catalogue(request.query_params.get("org"))
        try:
            return self._shown(catalogue.get(request.path_params["id"]))
        except NoSuchTraining:
            return error(404, "Training not found")

    def _shown(self, training: Training) -> Response:
        revision = self._world.config.revision
        return json_answer(encode(document(training, revision), revision))


def _done() -> Response:
    return Response(status_code=204)


def _report(value: object) -> Response:
    return json_answer(msgspec.json.encode(value))
