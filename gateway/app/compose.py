"""The house built from settings: which adapter stands behind which port."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import gateway
from gateway.adapters.ledger import Ledger, LocalBudget
from gateway.adapters.memory import MemoryStore
from gateway.adapters.redis.budget import RedisBudget
from gateway.adapters.redis.bus import RedisBus
from gateway.adapters.redis.connection import Connection
from gateway.adapters.redis.endings import Endings
from gateway.adapters.redis.lease import RedisLease
from gateway.adapters.redis.store import RedisStore
from gateway.adapters.telemetry.lag import LoopLag
from gateway.adapters.telemetry.observer import Telemetry
from gateway.adapters.upstream import HttpxUpstream
from gateway.app.admission import Admission, ClientsWatch, admission_of
from gateway.app.clock import SystemClock
from gateway.app.listen import StartFault
from gateway.core.access import Open
from gateway.core.policy import Windows
from gateway.core.rates import OwnRates
from gateway.core.status import Tier
from gateway.flow.collapsing import Collapsing
from gateway.flow.confirming import Confirming
from gateway.flow.credentials import Credentials
from gateway.flow.explain import Explainer
from gateway.flow.fetch import Fetcher
from gateway.flow.invalidation import Invalidation
from gateway.flow.outbound import Outbound
from gateway.flow.serve import Serving
from gateway.flow.tiers import Tiers
from gateway.ports import AloneBus, AloneLease, Budget, Bus, Lease, LocalStore, SharedStore
from gateway.settings import NoStore, Settings

_LEASE = 3.0


@dataclass(frozen=True, slots=True)
class House:
    """Everything that has a life: what `run` starts and stops, and operations look into."""

    clock: SystemClock
    telemetry: Telemetry
    lag: LoopLag
    local: LocalStore
    shared: SharedStore
    budget: Budget
    redis: Connection | None
    upstream: HttpxUpstream
    outbound: Outbound
    collapsing: Collapsing
    serving: Serving
    confirming: Confirming
    bus: Bus
    invalidation: Invalidation
    explainer: Explainer
    admission: Admission
    clients_watch: ClientsWatch


def compose(settings: Settings) -> House:
    """Wire the house; raises StartFault for a Redis URL that the driver refuses, SettingsFault
    for a clients file that went bad since it was judged."""
    admission = admission_of(settings)
    clock = SystemClock()
    telemetry = Telemetry(gateway.__version__, clock)
    windows = windows_of(settings)
    local = MemoryStore(settings.l1.max_bytes, lambda: telemetry.evicted(Tier.L1))
    local_budget = _local_budget(settings, clock, admission.rates)
    redis = _redis(settings, clock, telemetry)
    shared = _shared(settings, clock, telemetry, redis)
    budget = _redis_budget(settings, clock, redis, admission.rates) or local_budget
    upstream = _upstream(settings, clock, telemetry)
    tiers = _tiers(settings, admission, local, shared, clock)
    lease, bus = _together(settings, clock, telemetry, redis, shared)
    timeout = settings.upstream.timeout
    outbound = Outbound(upstream, budget, local_budget, clock, telemetry, timeout=timeout)
    credentials = Credentials(budget, local_budget, clock, telemetry)
    fetcher = Fetcher(
        tiers, outbound, clock, telemetry, bus, credentials=credentials, windows=windows
    )
    collapsing = Collapsing(tiers, fetcher, lease, clock, timeout=timeout)
    serving = Serving(tiers, collapsing, clock, telemetry, windows)
    return House(
        clock=clock,
        telemetry=telemetry,
        lag=LoopLag(clock),
        local=local,
        shared=shared,
        budget=budget,
        redis=redis,
        upstream=upstream,
        outbound=outbound,
        collapsing=collapsing,
        serving=serving,
        confirming=tiers.confirming,
        bus=bus,
        invalidation=Invalidation(
            tiers, shared, bus, telemetry, serving=serving, credentials=credentials
        ),
        explainer=Explainer(local, shared, clock, windows, serving),
        admission=admission,
        clients_watch=ClientsWatch(settings, admission, clock, telemetry),
    )


def windows_of(settings: Settings) -> Windows:
    """The freshness section as the core wants it."""
    freshness = settings.freshness
    return Windows(
        lifetime=freshness.lifetime,
        stale_while_revalidate=freshness.stale_while_revalidate,
        stale_if_error=freshness.stale_if_error,
        soft_wait=freshness.soft_wait,
        negative_lifetime=freshness.negative_lifetime,
        respect_no_store=freshness.no_store is NoStore.RESPECT,
        believe_after=freshness.believe_after,
    )


def _tiers(
    settings: Settings,
    admission: Admission,
    local: LocalStore,
    shared: SharedStore,
    clock: SystemClock,
) -> Tiers:
    vary = not isinstance(admission.callers.access, Open)
    windows, lifetime = windows_of(settings), settings.l1.lifetime
    return Tiers(local, shared, clock, windows, l1_lifetime=lifetime, vary=vary)


def _local_budget(settings: Settings, clock: SystemClock, rates: OwnRates) -> LocalBudget:
    limit, window = _rate(settings)
    patience = _probe_patience(settings)
    share = settings.sweep.share
    return LocalBudget(
        clock, limit, window, probe_patience=patience, rates=rates, sweep_share=share
    )


def _redis_budget(
    settings: Settings, clock: SystemClock, redis: Connection | None, rates: OwnRates
) -> RedisBudget | None:
    if redis is None:
        return None
    limit, window = _rate(settings)
    return RedisBudget(
        redis,
        settings.redis.prefix,
        clock,
        limit,
        window,
        probe_patience=_probe_patience(settings),
        rates=rates,
        sweep_share=settings.sweep.share,
    )


def _rate(settings: Settings) -> tuple[int | None, float]:
    rate = settings.upstream.rate_limit
    return (None, 60.0) if rate is None else (rate.limit, rate.window)


def _probe_patience(settings: Settings) -> float:
    """Longer than any call, so that no second probe leaves while the first one flies."""
    return settings.upstream.timeout * 2.0


def _redis(settings: Settings, clock: SystemClock, telemetry: Telemetry) -> Connection | None:
    if settings.redis.url is None:
        return None
    try:
        return Connection(
            settings.redis.url.reveal(),
            clock,
            telemetry,
            timeout=settings.redis.timeout,
            on_time=clock.learn,
        )
    except ValueError as fault:
        raise StartFault(f"redis.url: {fault}") from fault


def _shared(
    settings: Settings, clock: SystemClock, telemetry: Telemetry, redis: Connection | None
) -> SharedStore:
    if redis is None:
        return Ledger(clock, _new_epoch, believe_after=settings.freshness.believe_after)
    return RedisStore(
        redis,
        settings.redis.prefix,
        telemetry,
        longest_keep=windows_of(settings).keep,
        longest_fetch=_longest_fetch(settings),
        entropy=_new_epoch,
        believe_after=settings.freshness.believe_after,
    )


def _together(
    settings: Settings,
    clock: SystemClock,
    telemetry: Telemetry,
    redis: Connection | None,
    shared: SharedStore,
) -> tuple[Lease, Bus]:
    """What replicas do together, under one name: endings of leases arrive over the bus."""
    if redis is None:
        return AloneLease(shared), AloneBus()
    replica, endings, prefix = _new_epoch(), Endings(), settings.redis.prefix
    lease = RedisLease(
        redis,
        prefix,
        endings,
        replica=replica,
        longest_fetch=_longest_fetch(settings),
        entropy=_new_epoch,
        # A replica that died in mid-fetch leaves the others time for a call of their own.
        lifetime=min(_LEASE, settings.upstream.timeout / 3),
    )
    bus = RedisBus(redis, prefix, clock, telemetry, replica=replica, endings=endings)
    return lease, bus


def _longest_fetch(settings: Settings) -> float:
    return settings.upstream.timeout * 2.0


def _new_epoch() -> str:
    return secrets.token_hex(8)


def _upstream(settings: Settings, clock: SystemClock, telemetry: Telemetry) -> HttpxUpstream:
    return HttpxUpstream(
        settings.upstream.base_url,
        timeout=settings.upstream.timeout,
        connect_timeout=settings.upstream.connect_timeout,
        max_body=settings.upstream.max_body,
        clock=clock,
        observer=telemetry,
        user_agent=f"training-gateway/{gateway.__version__}",
    )
