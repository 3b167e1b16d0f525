"""Builds the sweeps: decides whether the tenants have sweeps, and chooses pace and adapters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from gateway.adapters.telemetry.counters import OTHER_CLIENTS, Counters
from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.access import Admission
from gateway.app.upstream_access import Outward
from gateway.core.access.caller import Caller
from gateway.core.budget.window_log import Rate, shared_part
from gateway.core.sweep.belief import SweepStore
from gateway.core.sweep.staleness_bound import Pace
from gateway.flow.fill.cold_start import ColdStart
from gateway.flow.sweep.readers import Readers
from gateway.flow.sweep.reconciliation import Reconciliation
from gateway.flow.sweep.scheduler import Sweeps
from gateway.flow.sweep.sweep import Sweep
from gateway.settings import AccessMode, FreshnessSource, Settings, SweepEnabled, SweepWarm

# A tenant's sweep pauses if the tenant's clients sent no request for this many seconds.
PAUSE_AFTER: Final = 300.0


def cold_start_of(settings: Settings, way: Outward, telemetry: Telemetry) -> ColdStart:
    """Which misses wait for the first sweep. None do if no sweep fills an empty cache."""
    sweep = settings.sweep
    may_store = sweep.store is not SweepStore.NEVER and sweep.warm is not SweepWarm.OFF
    fills = may_store and _why_none(settings) is None
    has_accepted = way.credentials.has_accepted if fills else None
    return ColdStart(settings.upstream.timeout, way.budget, telemetry, has_accepted)


def sweeps_of(
    settings: Settings,
    admission: Admission,
    way: Outward,
    end_partition: Callable[[str], Awaitable[None]],
    pages: Callable[..., Reconciliation],
    *,
    counters: Counters,
) -> Sweeps:
    """Put the sweeps together. `pages` makes the `Reconciliation` from its last parts."""

    async def refused(caller: Caller, status: int) -> None:
        """The caller's own token is not used for the list again. A 401 ends all that is stored for
        it."""
        way.credentials.bar(caller.partition)
        if status == 401:
            await end_partition(caller.partition)

    whole = pages(timeout=settings.upstream.timeout, refused=refused)
    pace_of = _pace_of(settings, admission)
    if settings.access.mode is AccessMode.PASSTHROUGH:
        readers = Readers(
            admission.callers.admitted,
            way.credentials,
            whole.clock,
            most=settings.sweep.partitions,
            pause_after=PAUSE_AFTER,
        )
        chosen: Callable[[], Mapping[str, Caller]] = readers.chosen
        reads: Callable[[str], int] = readers.reads
    else:
        chosen = partial(_own_callers, admission)
        reads = partial(_reads, counters, admission)

    def sweep_of(tenant: str, caller: Caller) -> Sweep:
        return Sweep(
            whole,
            caller,
            partial(pace_of, tenant),
            partial(reads, tenant),
            store=settings.sweep.store,
            warms=settings.sweep.warm is not SweepWarm.OFF,
        )

    return Sweeps(whole, chosen, sweep_of, why_none=_why_none(settings))


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
