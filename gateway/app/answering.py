"""What callers may say beside asking, by the settings: wishes about what is stored, and writes."""

from __future__ import annotations

from gateway.app.clock import SystemClock
from gateway.app.outward import Outward
from gateway.flow.invalidation import Invalidation
from gateway.flow.serve import Serving
from gateway.flow.wishing import Grants, Wishing
from gateway.flow.writing import Writing
from gateway.settings import ClientDirectives, Settings, WritesMode


def wishing_of(settings: Settings, serving: Serving, clock: SystemClock) -> Wishing | None:
    """Who grants callers their wishes; None where these are not heard."""
    match settings.freshness.client_directives:
        case ClientDirectives.IGNORE:
            return None
        case ClientDirectives.LIMITED:
            return Wishing(serving, clock, Grants(clock, settings.upstream.rate_limit))
        case ClientDirectives.HONOUR:
            return Wishing(serving, clock, grants=None)


def writing_of(
    settings: Settings, way: Outward, invalidation: Invalidation, clock: SystemClock
) -> Writing | None:
    """Who hands writes on; None where nothing is written."""
    if settings.server.writes is WritesMode.DENY:
        return None
    return Writing(
        way.outbound,
        invalidation,
        way.credentials,
        clock,
        base_url=settings.upstream.base_url,
        timeout=settings.upstream.timeout,
    )
