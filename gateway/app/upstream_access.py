"""Builds the parts between a request and the upstream, from the settings."""

from __future__ import annotations

import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

import gateway
from gateway.adapters.ledger import LocalBudget
from gateway.adapters.redis.budget import RedisBudget
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.telemetry.observer import Telemetry
from gateway.adapters.upstream import HttpxUpstream
from gateway.app.access import Admission
from gateway.app.clock import SystemClock
from gateway.app.listen import StartFault
from gateway.core.budget.window_log import BudgetRules, Rates, Start
from gateway.flow.fill.credentials import Credentials
from gateway.flow.fill.upstream_call import Outbound
from gateway.flow.mode import Modes
from gateway.flow.operations.invalidation import Invalidation
from gateway.flow.operations.write_through import Writing
from gateway.flow.request.client_directives import CallShare, Grants
from gateway.ports import Budget, Bus
from gateway.settings import (
    AccessMode,
    ClientDirectives,
    FreshnessSource,
    RateScope,
    Settings,
    WritesMode,
)


@dataclass(frozen=True, slots=True)
class Outward:
    """The parts between a fetch and the upstream."""

    upstream: HttpxUpstream
    budget: Budget
    outbound: Outbound
    credentials: Credentials


def outward(
    settings: Settings,
    clock: SystemClock,
    telemetry: Telemetry,
    redis: Connection | None,
    *,
    admission: Admission,
    bus: Bus,
    modes: Modes,
) -> Outward:
    """Put the parts of `Outward` together. Raises StartFault."""
    rules = _budget_rules(settings, admission.rates)
    budget: Budget = LocalBudget(clock, rules, is_reserve=redis is not None)
    if redis is not None:
        budget = RedisBudget(
            redis,
            settings.redis.prefix,
            clock,
            rules,
            budget,
            name=secrets.token_hex(8),
            scopes=lambda: admission.tenants,
        )
    upstream = _upstream(settings, clock, telemetry)
    outbound = Outbound(
        upstream,
        budget,
        clock,
        telemetry,
        modes=modes,
        bus=bus,
    )
    credentials = Credentials(clock)
    return Outward(upstream, budget, outbound, credentials)


def call_share_of(settings: Settings, clock: SystemClock, *, rates: Rates, bus: Bus) -> CallShare:
    """The share of each budget for calls that are made only because a caller wants a newer
    response."""
    mode, scope = settings.access.mode, settings.upstream.rate_scope
    # The mode `open` cannot distinguish callers, so all of them count as one caller. If each
    # credential has its own budget, each budget has one caller.
    has_one_caller = mode is AccessMode.OPEN or (
        mode is not AccessMode.CLIENTS and scope is RateScope.CREDENTIAL
    )
    return CallShare(clock, rates, lambda: bus.replicas, is_divided=not has_one_caller)


def grants_of(settings: Settings, clock: SystemClock, share: CallShare) -> Grants | None:
    """The limit of the calls that callers' cache directives cause. None if the settings ignore
    them."""
    match settings.freshness.client_directives:
        case ClientDirectives.IGNORE:
            return None
        case ClientDirectives.LIMITED:
            return Grants(clock, share)


def writing_of(
    settings: Settings, way: Outward, invalidation: Invalidation, clock: SystemClock
) -> Writing | None:
    """The part that passes writes to the upstream. None if the settings deny writes."""
    if settings.server.writes is WritesMode.DENY:
        return None
    timeout = settings.upstream.timeout
    return Writing(way.outbound, invalidation, way.credentials, clock, timeout=timeout)


def _budget_rules(settings: Settings, rates: Rates) -> BudgetRules:
    return BudgetRules(
        rates,
        replicas=settings.redis.replicas,
        start=Start(settings.upstream.cold_start),
        # This is longer than any call takes, so two probes are never under way at once.
        probe_patience=settings.upstream.timeout * 2.0,
        sweep_share=settings.sweep.share,
    )


def _upstream(settings: Settings, clock: SystemClock, telemetry: Telemetry) -> HttpxUpstream:
    return HttpxUpstream(
        settings.upstream.base_url,
        timeout=settings.upstream.timeout,
        connect_timeout=settings.upstream.connect_timeout,
        max_body=settings.upstream.max_body,
        max_list_body=settings.upstream.max_list_body,
        clock=clock,
        observer=telemetry.connections,
        user_agent=f"training-gateway/{gateway.__version__}",
        passes_codings=settings.freshness.source is FreshnessSource.ORIGIN,
        tls=_trusting(settings.upstream.ca_certs),
    )


def _trusting(ca: Path | None) -> ssl.SSLContext | None:
    if ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # also ssl.SSLError
        why = error.strerror or error
        raise StartFault(f"upstream.ca_certs: {ca} cannot be used: {why}") from error
