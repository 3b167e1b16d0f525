"""What callers may say beside asking, by the settings: directives on stored answers, and writes.

Lives here too: the share of the budget that such requests have."""

from __future__ import annotations

from gateway.app.clock import SystemClock
from gateway.app.upstream_access import Outward
from gateway.core.budget.rates import OwnRates
from gateway.flow.operations.invalidation import Invalidation
from gateway.flow.operations.write_through import Writing
from gateway.flow.request.call_share import CallShare
from gateway.flow.request.client_directives import DirectiveHandler, Grants
from gateway.flow.request.handler import Serving
from gateway.ports import Bus
from gateway.settings import AccessMode, ClientDirectives, RateScope, Settings, WritesMode


def call_share_of(
    settings: Settings, clock: SystemClock, *, rates: OwnRates, bus: Bus
) -> CallShare:
    """A share of the budgets; `rates` are those of tenants, `bus` counts the replicas."""
    mode, scope = settings.access.mode, settings.upstream.rate_scope
    is_one = mode is AccessMode.OPEN or (
        mode is not AccessMode.CLIENTS and scope is RateScope.CREDENTIAL
    )
    usual = settings.upstream.rate_limit
    return CallShare(clock, usual, rates, lambda: bus.replicas, is_divided=not is_one)


def directive_handler_of(
    settings: Settings, serving: Serving, clock: SystemClock, share: CallShare
) -> DirectiveHandler | None:
    """What grants callers their directives; None where these are not heard."""
    match settings.freshness.client_directives:
        case ClientDirectives.IGNORE:
            return None
        case ClientDirectives.LIMITED:
            return DirectiveHandler(serving, clock, Grants(clock, share))
        case ClientDirectives.HONOUR:
            return DirectiveHandler(serving, clock, grants=None)


def writing_of(
    settings: Settings, way: Outward, invalidation: Invalidation, clock: SystemClock
) -> Writing | None:
    """What hands writes on; None where nothing is written."""
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
