"""One page of the list: call, judge, and tell what came of it. What follows is the sweep's."""

from __future__ import annotations

from gateway.core.access.caller import Caller
from gateway.core.errors import InvalidPayload, ListRefused, UpstreamError, UpstreamFailure
from gateway.core.http.response import Reply
from gateway.core.upstream.classification import judge_page, rejection
from gateway.core.upstream.list_page import Page
from gateway.core.vocabulary import Purpose
from gateway.flow.fill.upstream_call import Outbound
from gateway.ports import Call, Clock, Observer

# In place of a training's id, where something is told of a page.
THE_LIST = "(the list)"


class Listing:
    """Asks for pages, within breaker, budget and gate like any other call."""

    def __init__(
        self, outbound: Outbound, clock: Clock, observer: Observer, *, timeout: float
    ) -> None:
        self._outbound = outbound
        self._clock = clock
        self._observer = observer
        self._timeout = timeout

    async def page(self, caller: Caller, offset: int, purpose: Purpose) -> tuple[Reply, Page]:
        """The page from that row on; raises UpstreamFailure, CallWithheld, ListRefused."""
        deadline = self._clock.monotonic() + self._timeout
        call = Call("", caller.token, purpose, deadline, offset=offset)
        try:
            reply = await self._outbound.ask(caller.scope, call)
            page = judge_page(reply, offset, self._clock.now())
        except UpstreamFailure as failure:
            failure.conceal(caller.token)
            self._reject(failure)
            await self._outbound.failed(caller.scope, THE_LIST, failure)
            raise
        except ListRefused:
            await self._outbound.answered(caller.scope)
            raise
        await self._outbound.answered(caller.scope)
        for fault in page.rejected:
            fault.conceal(caller.token)
            self._reject(fault)
        return reply, page

    def _reject(self, failure: UpstreamFailure) -> None:
        reason = rejection(failure) if isinstance(failure, InvalidPayload | UpstreamError) else None
        if reason is not None:
            self._observer.payload_rejected(reason, THE_LIST, failure.what)
