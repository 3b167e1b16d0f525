"""Builds all parts of the process as the settings say, and chooses the adapter of each port."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial

import gateway
from gateway.adapters.ledger import Ledger, LedgerSweep
from gateway.adapters.redis.bus import RedisBus
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.lease import Endings, RedisLease
from gateway.adapters.redis.mode_store import RedisMode
from gateway.adapters.redis.store import RedisStore
from gateway.adapters.redis.sweep import RedisSweep
from gateway.adapters.telemetry.event_log import SELDOM, WARNING
from gateway.adapters.telemetry.observer import Telemetry
from gateway.adapters.upstream import HttpxUpstream
from gateway.app.access import (
    Admission,
    OperatorAccess,
    admission_of,
    operator_access_of,
)
from gateway.app.clock import LoopLag, SystemClock
from gateway.app.listen import StartFault
from gateway.app.sweeping import PAUSE_AFTER, cold_start_of, sweeps_of
from gateway.app.upstream_access import (
    call_share_of,
    grants_of,
    outward,
    writing_of,
)
from gateway.core.access.caller import Open
from gateway.core.cache.policy import ByPolicy, Rules, Windows
from gateway.core.cache.rfc9111 import ByOrigin
from gateway.core.vocabulary import SpanFate
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.tiers import Tiers
from gateway.flow.fill.backoff import Backoffs
from gateway.flow.fill.collapse import Collapsing
from gateway.flow.fill.fetch import Fetcher
from gateway.flow.fill.refresher import REST, Refresher
from gateway.flow.fill.under_way import UnderWay
from gateway.flow.fill.upstream_call import Outbound
from gateway.flow.gateway import Gateway
from gateway.flow.mode import Modes
from gateway.flow.operations.explain import Explainer
from gateway.flow.operations.invalidation import Invalidation
from gateway.flow.operations.write_through import Writing
from gateway.flow.request.lists import Lists
from gateway.flow.request.min_version import Versions
from gateway.flow.request.response_selection import Serving
from gateway.flow.sweep.reconciliation import Reconciliation
from gateway.flow.sweep.scheduler import Sweeps
from gateway.ports import (
    AloneBus,
    AloneLease,
    AloneMode,
    Budget,
    Bus,
    Clock,
    Lease,
    SharedMode,
    SharedStore,
    SharedSweep,
    Tracer,
)
from gateway.settings import (
    FreshnessSource,
    NoStore,
    Settings,
    opentelemetry,
)

# The longest lifetime of a lease, in seconds.
_LEASE = 3.0
# The size in bytes of the smallest entries (see `known_for`).
_SMALLEST_ENTRY = 1_500
# Kept lists have this part of `l1.max_bytes`, in addition to L1.
_LISTS = 8
_FEWEST_KNOWN, _MOST_KNOWN = 1_000, 100_000


@dataclass(frozen=True, slots=True)
class House:
    """All parts of the process."""

    clock: SystemClock
    telemetry: Telemetry
    lag: LoopLag
    local: LocalStore
    shared: SharedStore
    budget: Budget
    redis: Connection | None
    upstream: HttpxUpstream
    outbound: Outbound
    serving: Serving
    lists: Lists
    gateway: Gateway
    modes: Modes
    bus: Bus
    invalidation: Invalidation
    writing: Writing | None
    explainer: Explainer
    admission: Admission
    operator_access: OperatorAccess
    sweeps: Sweeps
    tracer: Tracer | None


def compose(settings: Settings) -> House:
    """Put the parts together. Raises StartFault, or SettingsFault if an access file is faulty."""
    admission, operators = admission_of(settings), operator_access_of(settings)
    telemetry = Telemetry(clock := SystemClock())
    rules = rules_of(settings, admission)
    local = LocalStore(settings.l1.max_bytes, telemetry.counters.count_evicted)
    shared = _shared(settings, clock, telemetry, redis := _redis(settings, clock, telemetry))
    lease, bus = _lease_and_bus(settings, clock, telemetry, redis, shared)
    tiers = Tiers(local, shared, bus, clock, rules, l1_lifetime=settings.l1.lifetime)
    modes, under_way = Modes(_shared_mode(settings, redis), clock, telemetry), UnderWay(tiers)
    way = outward(settings, clock, telemetry, redis, admission=admission, bus=bus, modes=modes)
    invalidate = partial(Invalidation, credentials=way.credentials, outbound=way.outbound)
    invalidation = invalidate(tiers, shared, bus, telemetry, under_way=under_way)
    fetch = partial(Fetcher, credentials=way.credentials, current=admission.callers.current)
    fetch, refused = partial(fetch, rules=rules), invalidation.refused
    fetcher = fetch(tiers, way.outbound, clock, telemetry, bus, refused=refused)
    timeout, backoffs = settings.upstream.timeout, Backoffs(clock, rules.windows.believe_after)
    collapsing = Collapsing(tiers, fetcher, lease, clock, timeout=timeout, backoffs=backoffs)
    serve = partial(Serving, cold_start=cold_start_of(settings, way, telemetry))
    serve = partial(serve, tiers, collapsing, clock, telemetry, rules, under_way=under_way)
    serving = serve(refresher=Refresher(settings.upstream.max_background, local, clock, REST))
    pages = partial(Reconciliation, _shared_sweep(settings, clock, shared), way.outbound)
    pages = partial(pages, tiers, local, shared, bus, serving, rules, clock, telemetry)
    sweeps = sweeps_of(settings, admission, way, refused, pages, counters=telemetry.counters)
    share = partial(call_share_of, settings, clock, rates=admission.rates, bus=bus)
    versions, grants = Versions(serving, clock, share()), grants_of(settings, clock, share())
    return House(
        clock=clock,
        telemetry=telemetry,
        lag=LoopLag(clock),
        local=local,
        shared=shared,
        budget=way.budget,
        redis=redis,
        upstream=way.upstream,
        outbound=way.outbound,
        serving=serving,
        lists=_lists(settings, serving, tiers, fetcher, sweeps),
        gateway=Gateway(serving, modes, versions=versions, grants=grants),
        modes=modes,
        bus=bus,
        invalidation=invalidation,
        writing=writing_of(settings, way, invalidation, clock),
        explainer=Explainer(local, shared, clock, rules, serving, list_state=sweeps.list_state),
        admission=admission,
        operator_access=operators,
        sweeps=sweeps,
        tracer=tracer_of(settings, clock, telemetry),
    )


def _lists(
    settings: Settings, serving: Serving, tiers: Tiers, fetcher: Fetcher, sweeps: Sweeps
) -> Lists:
    kept = LocalStore(settings.l1.max_bytes // _LISTS, lambda: None)
    timeout = settings.upstream.timeout
    return Lists(serving, tiers, fetcher, sweeps.catalogue, kept=kept, timeout=timeout)


def rules_of(settings: Settings, admission: Admission) -> Rules:
    """The rules for entries. `freshness.source` chooses the settings or the upstream's fields.

    In `passthrough` the cache is private (not `is_shared`), because each token has its own
    partition.
    """
    access, windows = admission.callers.access, windows_of(settings)
    vary = not isinstance(access, Open)
    if settings.freshness.source is FreshnessSource.ORIGIN:
        return ByOrigin(windows, vary, is_shared=not access.owns_tokens)
    return ByPolicy(windows, vary)


def _redis(settings: Settings, clock: SystemClock, telemetry: Telemetry) -> Connection | None:
    if settings.redis.url is None:
        return None
    try:
        return Connection(
            settings.redis.url.get_secret_value(),
            clock,
            telemetry.connections,
            timeout=settings.redis.timeout,
            prefix=settings.redis.prefix,
            on_time=clock.learn,
        )
    except ValueError as fault:
        raise StartFault(f"redis.url: {fault}") from fault


def _shared(
    settings: Settings, clock: SystemClock, telemetry: Telemetry, redis: Connection | None
) -> SharedStore:
    if redis is None:
        return Ledger(
            clock,
            _random_id,
            known_for(settings.l1.max_bytes),
            believe_after=settings.freshness.believe_after,
        )
    return RedisStore(
        redis,
        settings.redis.prefix,
        telemetry.connections,
        longest_keep=windows_of(settings).keep,
        longest_fetch=_longest_fetch(settings),
        new_word=_random_id,
        believe_after=settings.freshness.believe_after,
    )


def _shared_sweep(settings: Settings, clock: SystemClock, shared: SharedStore) -> SharedSweep:
    if isinstance(shared, RedisStore):
        return RedisSweep(shared, pause_after=PAUSE_AFTER, keep=windows_of(settings).keep)
    assert isinstance(shared, Ledger), "without Redis, `shared` is a Ledger"
    return LedgerSweep(shared, clock, pause_after=PAUSE_AFTER)


def known_for(max_bytes: int) -> int:
    """How many trainings a process without Redis keeps facts and marks of, if its L1 has
    `max_bytes`.

    If the number is between `_FEWEST_KNOWN` and `_MOST_KNOWN`, they need memory of about a
    third of `max_bytes`, in addition to the memory of L1.
    """
    return min(_MOST_KNOWN, max(_FEWEST_KNOWN, max_bytes // _SMALLEST_ENTRY))


def _shared_mode(settings: Settings, redis: Connection | None) -> SharedMode:
    return AloneMode() if redis is None else RedisMode(redis, settings.redis.prefix)


def _lease_and_bus(
    settings: Settings,
    clock: SystemClock,
    telemetry: Telemetry,
    redis: Connection | None,
    shared: SharedStore,
) -> tuple[Lease, Bus]:
    """The lease and the bus. Both use the same name for this replica.

    The bus listens to the channel with this name. If this replica follows the fetch of another
    replica, a message on this channel says how the fetch ended.
    """
    if redis is None or not isinstance(shared, RedisStore):
        return AloneLease(shared), AloneBus()
    replica, endings, prefix = _random_id(), Endings(), settings.redis.prefix
    lease = RedisLease(
        shared,
        endings,
        replica=replica,
        # The lifetime is short: if the leader dies, the followers still have time for a call.
        lifetime=min(_LEASE, settings.upstream.timeout / 3),
    )
    bus = RedisBus(
        redis,
        prefix,
        clock,
        telemetry.connections,
        replica=replica,
        alone=_alone(settings),
        new_word=_random_id,
        endings=endings,
    )
    return lease, bus


def _alone(settings: Settings) -> float:
    """Seconds for which a replica that cannot reach Redis may serve entries without asking the
    upstream.

    The time begins when the replica no longer counts as alive (see Membership).
    """
    windows = windows_of(settings)
    return max(settings.l1.lifetime, windows.lifetime + windows.stale_while_revalidate)


def _longest_fetch(settings: Settings) -> float:
    return settings.upstream.timeout * 2.0


def _random_id() -> str:
    return secrets.token_hex(8)


def windows_of(settings: Settings) -> Windows:
    """The windows, from the section `freshness` of the settings."""
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


def tracer_of(settings: Settings, clock: Clock, telemetry: Telemetry) -> Tracer | None:
    """The tracer that `tracing.endpoint` and the OTEL_ variables ask for. Raises StartFault."""
    endpoint, variables = settings.tracing.endpoint, opentelemetry()
    if endpoint is None or variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    try:
        from gateway.adapters.otlp import OtlpTracer  # noqa: PLC0415 -- not always installed
    except ImportError as missing:
        raise StartFault(
            "tracing.endpoint is set, but the package that sends traces is not installed "
            f"({missing}): pip install 'training-gateway[otlp]', or unset tracing.endpoint"
        ) from missing
    telemetry.counters.know_spans()
    scheme = "http" if settings.server.tls_cert is None else "https"
    told, version = partial(_spans_ended, telemetry), gateway.__version__
    try:
        return OtlpTracer(endpoint, clock, told, variables, version=version, scheme=scheme)
    except ValueError as fault:
        raise StartFault(f"an OTEL_ variable has a wrong value: {fault}") from fault


def _spans_ended(telemetry: Telemetry, fate: SpanFate, count: int, why: str) -> None:
    telemetry.counters.spans[fate] += count
    if fate is not SpanFate.SENT:
        lost = partial(telemetry.events.emit, WARNING, "tracing.spans-lost", every=SELDOM)
        lost(reason=fate, count=count, why=why)
