"""What every call to the API passes: counting, the limit, faults, latency, the CDN's headers."""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.simulator.answers import Refusal, error
from gateway.simulator.api import Endpoint
from gateway.simulator.calls import Call, CallKind, bearer
from gateway.simulator.catalogue import NoSuchTraining
from gateway.simulator.faults import Fault, FaultMode, distorted, replacement
from gateway.simulator.limiter import refusal_headers
from gateway.simulator.wire import Answer, delivered, hold, pause
from gateway.simulator.world import NO_KEY, World


@dataclass(frozen=True, slots=True)
class Gate:
    """The ASGI application of one route: its endpoint, and all that stands before it."""

    world: World
    template: str
    kind: CallKind
    endpoint: Endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            call = await self._read(Request(scope, receive))
        except ClientDisconnect:
            return
        journal = self.world.journal
        with journal.flight(call, time.monotonic()):
            answer = await self._answer(call, receive)
            journal.answered(answer.status_code if answer else None)
            if answer:
                await answer(scope, receive, send)

    async def _read(self, request: Request) -> Call:
        return Call(
            method=request.method,
            path=request.url.path,
            endpoint=f"{request.method} {self.template}",
            kind=self.kind,
            training_id=request.path_params.get("id"),
            token=bearer(request.headers.get("authorization")),
            query=request.query_params,
            headers=request.headers,
            body=await request.body(),
        )

    async def _answer(self, call: Call, receive: Receive) -> Answer | None:
        wait = self.world.limiter.take(call.token or NO_KEY, time.monotonic())
        if wait is not None:
            return self._dressed(self._too_many(wait))
        fault, lifted = self.world.faults.pick(call), self.world.faults.lifted
        seconds = self.world.latency() + (fault.delay_before if fault else 0.0)
        if not await pause(seconds, receive):
            return None
        if fault and fault.mode is FaultMode.HELD and not await hold(lifted, receive):
            return None
        return delivered(fault, self._dressed(self._content(call, fault)))

    def _too_many(self, wait: float) -> Response:
        limiter = self.world.limiter
        headers = refusal_headers(
            self.world.config.retry_after,
            limit=limiter.limit or 0,
            window=limiter.window,
            wait=wait,
            now=time.time(),
        )
        return error(429, "ThrottlerException: Too Many Requests", headers)

    def _content(self, call: Call, fault: Fault | None) -> Response:
        if fault is None:
            return self._well_behaved(call)
        answer = replacement(fault, call)
        return answer or distorted(fault, call, self._well_behaved(call))

    def _well_behaved(self, call: Call) -> Response:
        try:
            return self.endpoint(self.world, call)
        except Refusal as refusal:
            return refusal.answer
        except NoSuchTraining:
            return error(404, "Training not found")

    def _dressed(self, answer: Response) -> Response:
        config = self.world.config
        ray = f"{self.world.random.getrandbits(64):016x}"
        answer.headers["server"] = "cloudflare"
        answer.headers["cf-ray"] = f"{ray}-FRA"
        if config.cookie:
            cookie = f"__cflb={ray}; Path=/; Max-Age=82800; HttpOnly; SameSite=Lax"
            answer.headers.append("set-cookie", cookie)
        if config.cache_control is not None and answer.status_code in (200, 304):
            answer.headers["cache-control"] = config.cache_control
        return answer
