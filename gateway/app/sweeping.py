"""Builds the sweeps: decides whether the tenants have sweeps, and chooses pace and adapters."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.adapters.ledger import Ledger, LedgerLists, LedgerSweepLease
from gateway.adapters.redis.connect.connection import Connection
from gateway.adapters.redis.sweep import RedisLists, RedisSweepLease
from gateway.adapters.telemetry.counters import OTHER_CLIENTS, Counters
from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.access import Admission
from gateway.app.upstream_access import Outward
from gateway.core.access.caller import Caller
from gateway.core.budget.window_log import Rate, shared_part
from gateway.core.cache.policy import Rules, Windows
from gateway.core.sweep.belief import SweepStore
from gateway.core.sweep.staleness_bound import Pace
from gateway.flow.cache.local_store import LocalStore
from gateway.flow.cache.tiers import Tiers
from gateway.flow.fill.cold_start import ColdStart
from gateway.flow.fill.fetch import Fetcher
from gateway.flow.request.response_selection import Serving
from gateway.flow.sweep.readers import Readers
from gateway.flow.sweep.reconciliation import Reconciliation
from gateway.flow.sweep.scheduler import Sweeps
from gateway.flow.sweep.sweep import Listing, Parts, Sweep
from gateway.ports import Bus, Clock, ListStore, SharedStore, SweepLease
from gateway.settings import AccessMode, FreshnessSource, Settings, SweepEnabled, SweepWarm

# A tenant's sweep pauses if the tenant's clients sent no request for this many seconds.
PAUSE_AFTER: Final = 300.0
# Lifetime (seconds) of the lease of a tenant's sweep. If the leader of the sweep ends, another
# replica leads within this time plus two seconds.
_LEAD: Final = 5.0


@dataclass(frozen=True, slots=True)
class Ground:
    """The parts that the sweeps use."""

    clock: Clock
    telemetry: Telemetry
    local: LocalStore
    shared: SharedStore
    redis: Connection | None
    bus: Bus
    way: Outward
    tiers: Tiers
    serving: Serving
    fetcher: Fetcher


def cold_start_of(settings: Settings, way: Outward, telemetry: Telemetry) -> ColdStart:
    """Which misses wait for the first sweep. None do if no sweep fills an empty cache."""
    sweep = settings.sweep
    may_store = sweep.store is not SweepStore.NEVER and sweep.warm is not SweepWarm.OFF
    fills = may_store and _why_none(settings) is None
    has_accepted = way.credentials.has_accepted if fills else None
    return ColdStart(settings.upstream.timeout, way.budget, telemetry, has_accepted)


def sweeps_of(settings: Settings, rules: Rules, admission: Admission, ground: Ground) -> Sweeps:
    """Put the sweeps together."""
    parts = _parts(settings, rules, ground)
    readers = Readers(
        admission.callers.admitted,
        ground.way.credentials,
        ground.clock,
        most=settings.sweep.partitions,
        pause_after=PAUSE_AFTER,
    )
    pace_of = _pace_of(settings, admission)
    chosen: Callable[[], Mapping[str, Caller]] = readers.chosen
    reads: Callable[[str], int] = readers.reads
    if settings.access.mode is not AccessMode.PASSTHROUGH:
        chosen = partial(_own_callers, admission)
        reads = partial(_reads, ground.telemetry.counters, admission)

    def sweep_of(tenant: str, caller: Caller) -> Sweep:
        return Sweep(
            parts,
            caller,
            partial(pace_of, tenant),
            partial(reads, tenant),
            store=settings.sweep.store,
            warms=settings.sweep.warm is not SweepWarm.OFF,
        )

    return Sweeps(parts, chosen, sweep_of, rules.windows, why_none=_why_none(settings))


def _parts(settings: Settings, rules: Rules, ground: Ground) -> Parts:
    return Parts(
        lease=_lease(settings, ground),
        listing=Listing(
            ground.way.outbound,
            ground.clock,
            ground.telemetry,
            timeout=settings.upstream.timeout,
            refused=partial(_list_refused, ground),
        ),
        reconciliation=Reconciliation(
            _lists(settings, rules.windows, ground),
            ground.tiers,
            ground.local,
            ground.shared,
            ground.bus,
            ground.clock,
            ground.telemetry,
            ground.serving,
            rules,
        ),
        serving=ground.serving,
        local=ground.local,
        clock=ground.clock,
        observer=ground.telemetry,
    )


async def _list_refused(ground: Ground, caller: Caller, status: int) -> None:
    """The API refused the list to the caller's own token, so the token is not used for it again. A
    401 ends all that is stored for it."""
    ground.way.credentials.bar(caller.partition)
    if status == 401:
        await ground.fetcher.refused(caller.partition)


def _lease(settings: Settings, ground: Ground) -> SweepLease:
    if ground.redis is None:
        return LedgerSweepLease(ground.clock, pause_after=PAUSE_AFTER)
    return RedisSweepLease(
        ground.redis,
        settings.redis.prefix,
        entropy=random_id,
        pause_after=PAUSE_AFTER,
        lifetime=_LEAD,
    )


def _lists(settings: Settings, windows: Windows, ground: Ground) -> ListStore:
    if ground.redis is None:
        assert isinstance(ground.shared, Ledger), "without Redis, `shared` is a Ledger"
        return LedgerLists(ground.shared)
    return RedisLists(
        ground.redis,
        settings.redis.prefix,
        longest_keep=windows.keep,
        longest_fetch=settings.upstream.timeout * 2.0,
        entropy=random_id,
    )


def random_id() -> str:
    """Sixteen random hex digits."""
    return secrets.token_hex(8)


def _why_none(settings: Settings) -> str | None:
    """Why there are no sweeps. None: there are sweeps."""
    if settings.sweep.enabled is SweepEnabled.FALSE:
        return "sweep.enabled is false"
    if settings.freshness.source is FreshnessSource.ORIGIN:
        return (
            "freshness.source is origin: each response has its own cache headers, and the list "
            "does not renew them"
        )
    if settings.access.mode is AccessMode.PASSTHROUGH and settings.sweep.partitions == 0:
        return "callers bring their own tokens, and sweep.partitions is 0"
    return None


def _own_callers(admission: Admission) -> Mapping[str, Caller]:
    return admission.callers.access.own_callers()


def _pace_of(settings: Settings, admission: Admission) -> Callable[[str], Pace]:
    sweep = settings.sweep
    interval = None if sweep.interval == "auto" else sweep.interval
    l1_lifetime = 0.0 if settings.redis.url is None else settings.l1.lifetime

    # The sweeps of several partitions divide the share.
    is_passthrough = settings.access.mode is AccessMode.PASSTHROUGH
    share = sweep.share / max(1, sweep.partitions) if is_passthrough else sweep.share

    def pace(tenant: str) -> Pace:
        rate: Rate | None = admission.rates.of(tenant)
        if rate is not None and settings.redis.url is not None:
            rate = Rate(shared_part(rate.limit, settings.redis.replicas), rate.window)
        return Pace(rate, share, interval, settings.freshness.lifetime, l1_lifetime)

    return pace


def _reads(counters: Counters, admission: Admission, tenant: str) -> int:
    """Counts the tenant's requests. A client that is counted as `other` may belong to any tenant,
    so its requests count for every tenant."""
    names = {*admission.callers.access.clients_of(tenant), OTHER_CLIENTS}
    return sum(count for (client, _), count in list(counters.clients.items()) if client in names)
