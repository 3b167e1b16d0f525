"""Gathers the data that the admin plane shows, and carries out orders."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import gateway
from gateway.adapters.telemetry.event_log import INFO, WARNING, Events, Noted
from gateway.adapters.telemetry.live_figures import History, by_outcome, figures, hit_rate
from gateway.adapters.telemetry.metrics import GaugeReadings, Metrics
from gateway.app.access import FileWatch, clients_watch, tokens_watch
from gateway.app.compose import House
from gateway.app.health_findings import Finding, Findings
from gateway.app.live import Live
from gateway.app.warming import Warming
from gateway.core.cache.entry import Key
from gateway.core.errors import BadRequest, RedisUnavailable
from gateway.core.instant import Instant, from_seconds, to_rfc3339
from gateway.core.vocabulary import Mode, Right
from gateway.ports import BudgetView, Confirmations
from gateway.settings import (
    AccessMode,
    FreshnessSource,
    Printable,
    RateScope,
    Settings,
    SweepWarm,
    effective,
)

Words = dict[str, object]

# A message names at most this many partitions. There can be a partition for each credential.
_NAMED = 20
# Readiness waits at most this many seconds for the cache to be filled.
_WARMING = 30.0
_NOT_HERE = (
    "on the first request: this replica has the training in no partition (each credential or "
    "tenant has its own partition; with ?partition= Redis is asked too)"
)


@dataclass(slots=True)
class Life:
    """The state of the process between start and stop.

    is_warm  readiness no longer waits for the cache to be filled
    ended    set when the data plane has ended; the live page is served until then
    """

    started: float
    ready: bool = False
    is_warm: bool = False
    draining: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Operations:
    """Answers the questions of operators, and carries out their orders.

    The Protocol of the same name in `web/admin/app` says what each method promises.
    """

    def __init__(self, house: House, settings: Settings, life: Life) -> None:
        self._house = house
        self._settings = settings
        self._life = life
        telemetry = house.telemetry
        self._metrics = Metrics(
            telemetry.counters, telemetry.events, gateway.__version__, self.readings
        )
        read = self._metrics.read
        self.history = History(telemetry.counters, house.clock, read, _longest_fresh(settings))
        told = house.clock, telemetry
        self.clients_watch = clients_watch(settings, house.admission, *told)
        self.tokens_watch = tokens_watch(house.operator_access, *told)
        self._warming = Warming(house.clock.monotonic, self._is_filling)
        docs_url = settings.admin.docs_url
        warn = partial(_replicas_differ, telemetry.events)
        self.findings = Findings(self.history, self.readings, house.clock, docs_url, warn=warn)
        live = partial(Live, house, settings, self.readings, self.findings, self.history)
        self.watched = live(started=life.started, ended=life.ended)

    def is_ready(self) -> bool:
        return self._life.ready and not self._life.draining and not self._warms_first()

    def _warms_first(self) -> bool:
        """Whether readiness still waits for the cache. It does not in a mode in which no call fills
        the cache. The wait never begins again, even if Redis or the API fails."""
        if self._settings.sweep.warm is not SweepWarm.BEFORE_READY or self._life.is_warm:
            return False
        house = self._house
        is_early = house.clock.monotonic() - self._life.started < _WARMING
        may_fill = house.modes.current is Mode.NORMAL
        is_warming = is_early and may_fill and house.sweeps.are_warming()
        self._life.is_warm = not is_warming
        return is_warming

    def metrics(self, accept: str) -> tuple[Iterator[bytes], str]:
        return self._metrics.scrape(accept)

    def readings(self) -> GaugeReadings:
        """The present values of the gauges."""
        house = self._house
        redis_up = None if house.redis is None else house.shared.is_up
        return GaugeReadings(
            ready=self.is_ready(),
            draining=self._life.draining,
            l1_entries=house.local.entries,
            l1_bytes=house.local.size,
            collapsed_waiters=house.serving.fills.waiters
            + house.lists.flights.waiters
            + house.serving.filler.waiters,
            circuit=house.outbound.circuit,
            budgets=self._budgets(),
            limits=self._limits(),
            replicas=house.bus.replicas,
            expected_replicas=self._settings.redis.replicas,
            redis_up=redis_up,
            bus_connected=None if house.redis is None else house.bus.is_connected,
            loop_lag=house.lag.worst,
            mode=house.modes.current,
            is_warming=self._warming.is_on(redis_up=redis_up),
            sweep_confirmed=house.sweeps.confirmed_age(),
            sweep_states=house.sweeps.states(),
            clients_reloaded=_is_content_used(self.clients_watch),
            tokens_reloaded=_is_content_used(self.tokens_watch),
            missing=house.telemetry.counters.missing_in_a_row,
        )

    def _is_filling(self) -> bool | None:
        """For `Warming`: whether the first sweep of an empty cache has not ended."""
        sweeps = self._house.sweeps
        is_filling = sweeps.are_warming()
        is_swept = self._settings.sweep.warm is not SweepWarm.OFF and (is_filling or sweeps.words())
        return is_filling if is_swept else None

    def status(self) -> Words:
        house, life = self._house, self._life
        outcomes = by_outcome(house.telemetry.counters)
        numbers = figures(house.telemetry.counters)
        redis = house.redis
        return {
            "version": gateway.__version__,
            "time": _instant(house.clock.now()),
            "findings": [_finding(each) for each in self.findings.now()],
            "ready": self.is_ready(),
            "mode": str(house.modes.current),
            "mode_order": self._mode_order(),
            "draining": life.draining,
            "uptime_seconds": round(house.clock.monotonic() - life.started, 1),
            "requests": {str(outcome): count for outcome, count in outcomes.items()},
            "hit_rate": hit_rate(outcomes),
            "upstream": {
                "calls": _split(numbers, "upstream_calls"),
                "inflight": numbers["upstream_inflight"],
                "circuit": str(house.outbound.circuit),
            },
            "figures": numbers,
            "budgets": {tenant: asdict(view) for tenant, view in self._budgets().items()},
            "redis": {
                "configured": redis is not None,
                "up": None if redis is None else house.shared.is_up,
                "replicas": None if redis is None else house.bus.replicas,
            },
            "l1": {
                "entries": house.local.entries,
                "bytes": house.local.size,
                "max_bytes": self._settings.l1.max_bytes,
            },
            "freshness": self._freshness(),
            "events": [asdict(happening) for happening in house.telemetry.events.recent()],
            "settings": self.settings(),
        }

    def _mode_order(self) -> Words | None:
        order = self._house.modes.ordered
        if order is None:
            return None
        return {"since": None if order.at is None else _instant(order.at), "by": order.by}

    def settings(self) -> Mapping[str, Printable]:
        """The effective settings, secrets masked."""
        return effective(self._settings)

    async def explain(self, training_id: str, partition: str | None) -> Words:
        now: Words = {"time": _instant(self._house.clock.now())}
        held_in = self._house.explainer.partitions(training_id)
        if partition is None and len(held_in) > 1:
            raise BadRequest(
                "several partitions have the training; add ?partition= with one of "
                f"{self._named(held_in)}"
            )
        known = self._house.admission.callers.access.partitions()
        only = next(iter(known.values())) if len(known) == 1 else None
        chosen = partition or (held_in[0] if held_in else only)
        if chosen is None:
            not_here: Words = {"id": training_id, "l1": None, "next_refresh": _NOT_HERE}
            named: Words = {"partitions": dict(known)} if known else {}
            return now | not_here | named | self._budgets_and_events(training_id, None)
        words = await self._house.explainer.explain(Key(chosen, training_id))
        return now | words | self._whose(chosen) | self._budgets_and_events(training_id, chosen)

    def _budgets_and_events(self, training_id: str, partition: str | None) -> Words:
        """The budget of the partition's tenant, the state of the tenant's sweep if it has one, and
        the last events of the training. If the tenant is not known: all budgets, and no sweep."""
        noted = self._house.telemetry.journal.of(training_id, partition)
        whose = {} if partition is None else self._whose(partition)
        budgets = {
            tenant: asdict(view)
            for tenant, view in self._budgets().items()
            if whose.get("tenant", tenant) == tenant
        }
        freshness = self._house.sweeps.words().get(str(whose.get("tenant")))
        swept: Words = {} if freshness is None else {"freshness": freshness}
        return {"budgets": budgets, **swept, "events": [_told(each) for each in noted]}

    async def invalidate(
        self, training_ids: tuple[str, ...], updated_at: Instant | None, *, soft: bool, by: str
    ) -> Confirmations:
        fields: Words = {"ids": len(training_ids), "first": training_ids[0], "soft": soft}
        if updated_at is not None:
            fields["updated_at"] = to_rfc3339(updated_at)
        with self._logged(Right.INVALIDATE, by, fields):
            order = partial(self._house.invalidation.invalidate, training_ids, updated_at)
            done = await order(soft=soft, by=by)
            fields |= _confirmed(done)
        return done

    async def purge(self, partition: str | None, *, soft: bool, by: str) -> Confirmations:
        fields: Words = {"soft": soft}
        if partition is not None:
            fields["partition"] = partition
        with self._logged(Right.PURGE, by, fields):
            done = await self._house.invalidation.purge(partition, soft=soft, by=by)
            fields |= _confirmed(done)
        return done

    async def set_mode(self, mode: Mode, *, by: str) -> None:
        with self._logged(Right.MODE, by, {"mode": mode}):
            await self._house.modes.order(mode, by)

    @contextmanager
    def _logged(self, order: Right, by: str, fields: Words) -> Iterator[None]:
        """Log and count an order that was carried out. If Redis makes the order fail, log that."""
        telemetry = self._house.telemetry
        try:
            yield
        except RedisUnavailable as error:
            told: dict[str, Any] = {"order": order, "operator": by, **fields}
            telemetry.events.tell_state(WARNING, "order.failed", **told, why=str(error))
            raise
        telemetry.counters.orders[order, by] += 1
        told = {"order": order, "operator": by, **fields}
        telemetry.events.tell_state(INFO, "order.done", **told)

    def _freshness(self) -> Words:
        sweeps, oldest = self._house.sweeps, self.history.oldest_stale()
        return {
            "without_sweep_seconds": sweeps.bound_without(),
            "oldest_stale_seconds": None if oldest is None else round(oldest, 3),
            "tenants": sweeps.words(),
        }

    def _named(self, partitions: list[str]) -> str:
        named = []
        for each in partitions[:_NAMED]:
            tenant = self._whose(each).get("tenant")
            named.append(each if tenant is None else f"{each} ({tenant})")
        more = len(partitions) - _NAMED
        return ", ".join(named) + (f" and {more} more" if more > 0 else "")

    def _whose(self, partition: str) -> Words:
        """The partition's tenant and clients. Empty if the tenant is not known."""
        access = self._house.admission.callers.access
        tenants = [name for name, theirs in access.partitions().items() if theirs == partition]
        return {"tenant": tenants[0], "clients": access.clients_of(tenants[0])} if tenants else {}

    def _budgets(self) -> dict[str, BudgetView]:
        """The budgets by tenant. Empty if each credential has its own budget: credentials have no
        names that may be shown, and their number has no bound."""
        settings = self._settings
        is_passthrough = settings.access.mode is AccessMode.PASSTHROUGH
        if is_passthrough and settings.upstream.rate_scope is RateScope.CREDENTIAL:
            return {}
        return {each: self._house.budget.view(each) for each in self._house.admission.tenants}

    def _limits(self) -> dict[str, int]:
        """The limits without a 429, by tenant."""
        admission = self._house.admission
        rates = {tenant: admission.rates.of(tenant) for tenant in admission.tenants}
        return {tenant: rate.limit for tenant, rate in rates.items() if rate is not None}


def _is_content_used(watch: FileWatch[Any] | None) -> bool | None:
    return None if watch is None else watch.is_content_used


def _told(noted: Noted) -> Words:
    repeated: Words = {"times": noted.times, "since": _instant(noted.first)}
    return {
        "time": _instant(noted.last),
        "event": noted.event,
        **noted.fields,
        **({} if noted.partition is None else {"partition": noted.partition}),
        **(repeated if noted.times > 1 else {}),
    }


def _replicas_differ(events: Events, says: str, do: str) -> None:
    events.tell_state(WARNING, "replicas.differ", says=says, do=do)


def _longest_fresh(settings: Settings) -> float:
    """Seconds after which a response is stale (infinite if the upstream's fields decide this)."""
    by_policy = settings.freshness.source is FreshnessSource.POLICY
    return settings.freshness.lifetime if by_policy else math.inf


def _finding(finding: Finding) -> Words:
    since = None if finding.since is None else _instant(finding.since)
    return asdict(finding) | {"since": since}


def _confirmed(confirmations: Confirmations) -> Words:
    return {"replicas": confirmations.known, "confirmed": confirmations.confirmed}


def _instant(seconds: float) -> str:
    at = from_seconds(seconds)
    return to_rfc3339(Instant(at - at % 1_000_000))


def _split(figures: Mapping[str, float | int], name: str) -> Mapping[str, float | int]:
    prefix = f"{name}."
    return {key.removeprefix(prefix): n for key, n in figures.items() if key.startswith(prefix)}
