"""What every request goes through: a failure of ours is an answer too, and is counted."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from gateway.core.errors import GatewayError, OnlyIfCached, VersionNotReached
from gateway.core.vocabulary import Outcome, Tier
from gateway.ports import NoTracer
from gateway.web.data.request_context import Desk
from gateway.web.request import Exchange
from tests.unit.web.planes import Data


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (OnlyIfCached(), 504, Outcome.REJECTED),
        (VersionNotReached("2", "1", retry_after=1.0), 412, Outcome.REJECTED),
        (GatewayError(), 500, Outcome.FAILED),
        (ZeroDivisionError(), 500, Outcome.FAILED),
    ],
)
async def test_what_goes_wrong_is_a_problem(
    error: Exception, status: int, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    """Told apart by whose fault it is; what nobody foresaw is in the log."""
    data = Data()
    parts = (data.callers, data.clock, data.observer, data.access_log)
    desk = Desk(*parts, lambda: b"made-here", tracer=NoTracer())
    request = Request({"type": "http", "method": "GET", "path": "/training/a", "headers": []})

    async def answer(exchange: Exchange) -> Response:
        raise error

    response = await desk.attend(request, answer)

    assert response.status_code == status
    assert [(line.outcome, line.tier) for line in data.access_log.lines] == [(outcome, Tier.NONE)]
    assert bool(caplog.records) is isinstance(error, ZeroDivisionError)
