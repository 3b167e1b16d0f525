"""Makes one call for a page of the list, and judges its answer: for the sweep, and for callers."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Final

from gateway.core.access.caller import Caller
from gateway.core.errors import ListRefused, UpstreamFailure
from gateway.core.http.fields import Reply
from gateway.core.upstream.classification import judge_page
from gateway.core.upstream.list_page import THE_LIST, Page
from gateway.flow.fill.upstream_call import Outbound
from gateway.ports import Call, Clock

# Turns of the event loop between two pieces of a page.
_TURNS: Final = 3


async def ask_for_page(
    outbound: Outbound, caller: Caller, call: Call, clock: Clock
) -> tuple[Reply, Page]:
    """The answer to a call for a page, and the page. Raises UpstreamFailure, CallWithheld, and
    ListRefused with its `reply`."""
    try:
        reply = await outbound.ask(caller, call)
        page = await _in_pieces(judge_page(reply, call.offset or 0, clock.now()))
    except UpstreamFailure as failure:
        failure.conceal(caller.token)
        await outbound.failed(caller, THE_LIST, failure)
        raise
    except ListRefused as refused:
        refused.reply = reply
        await outbound.answered(caller)
        raise
    await outbound.answered(caller)
    return reply, page


async def _in_pieces(reading: Generator[None, None, Page]) -> Page:
    """The page that `reading` returns. Requests of callers run while `reading` pauses."""
    while True:
        try:
            next(reading)
        except StopIteration as end:
            page: Page = end.value
            return page
        await give_way()


async def give_way() -> None:
    """Let requests of callers run. An answer often takes more than one turn of the event loop."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
