"""The sweeps of all tenants, and what is promised of each one's freshness.

A sweep begins when a tenant appears, ends with it, and begins anew with another token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from gateway.core.access.caller import Caller
from gateway.core.cache.entry import Key
from gateway.core.cache.policy import Windows
from gateway.core.sweep.staleness_bound import Horizon, Pace, Worst, without_sweep
from gateway.flow.sweep.sweep import Parts, Sweep

Words = dict[str, object]

# Seconds between two looks at who is there and how old what they read is.
_LOOK_EVERY: Final = 1.0


@dataclass(slots=True)
class _Running:
    caller: Caller
    sweep: Sweep
    task: asyncio.Task[None]
    worst: Worst
    is_slowness_told: bool = False
    is_bound_told: bool = False


class Sweeps:
    """Those of this replica. `own_callers` names the tenants whose token the gateway has,
    `pace_of` what each may spend, `reads` how many requests of a tenant came here so far."""

    def __init__(
        self,
        parts: Parts,
        own_callers: Callable[[], Mapping[str, Caller]],
        pace_of: Callable[[str], Pace],
        reads: Callable[[str], int],
        windows: Windows,
        *,
        warms: bool,
        why_none: str | None = None,
    ) -> None:
        self._parts = parts
        self._own_callers = own_callers
        self._pace_of = pace_of
        self._reads = reads
        self._windows = windows
        self._warms = warms
        self._why_none = why_none
        self._running: dict[str, _Running] = {}
        self._by_partition: dict[str, Sweep] = {}

    async def run(self) -> None:
        """Keep a sweep for each tenant until cancelled by the owner."""
        if self._why_none is not None:
            self._tell_why_none(self._why_none)
            return
        async with asyncio.TaskGroup() as group:
            while True:
                self._keep_up(group)
                for each in self._running.values():
                    each.worst.note(self._parts.clock.monotonic(), each.sweep.age)
                    self._tell_bound(each)
                await self._parts.clock.sleep(_LOOK_EVERY)

    def confirmed_age(self) -> float | None:
        """Seconds since the list vouched for what it vouched for longest ago; None where it
        vouches for nothing."""
        ages = [each.sweep.age for each in self._running.values()]
        return max((age for age in ages if age is not None), default=None)

    def horizon_of(self, partition: str) -> Horizon | None:
        """How far the sweep of a partition has come; None where there is none."""
        sweep = self._by_partition.get(partition)
        return None if sweep is None else sweep.horizon

    def is_contradicted(self, key: Key) -> bool:
        """Whether the list is not believed about the training; only its leader knows."""
        sweep = self._by_partition.get(key.partition)
        return sweep is not None and key.training_id in sweep.contradictions

    def are_warming(self) -> bool:
        """Whether a cold start is still being filled for some tenant."""
        if self._why_none is not None:
            return False
        running = [each.sweep for each in self._running.values()]
        return any(each.is_warming for each in running) or not running

    def is_off(self, tenant: str) -> bool:
        """Whether there is no list to be had of the tenant's trainings."""
        each = self._running.get(tenant)
        return self._why_none is not None or (each is not None and each.sweep.state == "off")

    def words(self) -> dict[str, Words]:
        """By tenant, what is promised and what is so."""
        return {tenant: self._words(each) for tenant, each in self._running.items()}

    def bound_without(self) -> float:
        """What is promised where the list vouches for nothing."""
        return without_sweep(self._windows.lifetime, self._windows.stale_while_revalidate)

    def _tell_why_none(self, why: str) -> None:
        self._parts.observer.sweep_off("", why, None)
        self._parts.observer.bound_stated("", self.bound_without(), trainings=None)

    def _tell_bound(self, each: _Running) -> None:
        """Once, as soon as it is kept; that it is too long, as soon as it can be told."""
        allowed, lifetime, told = each.sweep.allowed, self._windows.lifetime, self._parts.observer
        progress = each.sweep.progress
        if each.is_bound_told or allowed is None or progress is None or progress.total is None:
            return
        tenant, seconds, total = each.caller.tenant, allowed.seconds, progress.total
        if seconds > lifetime and not each.is_slowness_told:
            each.is_slowness_told = True
            told.sweep_too_slow(tenant, seconds, trainings=total, lifetime=lifetime)
        if each.sweep.bound is not None:
            each.is_bound_told = True
            told.bound_stated(tenant, seconds, trainings=total)

    def _keep_up(self, group: asyncio.TaskGroup) -> None:
        callers = self._own_callers()
        for tenant, each in list(self._running.items()):
            if callers.get(tenant) != each.caller:
                each.task.cancel()
                del self._running[tenant]
                self._by_partition.pop(each.caller.partition, None)
        for tenant, caller in callers.items():
            if tenant not in self._running:
                sweep = Sweep(
                    self._parts,
                    caller,
                    self._pace_of(tenant),
                    lambda tenant=tenant: self._reads(tenant),  # type: ignore[misc]
                    warms=self._warms,
                )
                self._by_partition[caller.partition] = sweep
                task = group.create_task(sweep.run())
                self._running[tenant] = _Running(caller, sweep, task, Worst())

    def _words(self, each: _Running) -> Words:
        sweep, now = each.sweep, self._parts.clock.monotonic()
        bound, progress, age = sweep.bound, sweep.progress, sweep.age
        seconds = self.bound_without() if bound is None else bound.seconds
        words: Words = {
            "sweep": sweep.state,
            "bound_seconds": round(seconds, 3),
            "parts": None if bound is None else asdict(bound),
            "confirmed_seconds": None if age is None else round(age, 3),
            "worst_of_last_hour_seconds": each.worst.of(now),
        }
        if progress is not None:
            words |= {
                "leads": sweep.turn is not None and sweep.turn.leads,
                "trainings": progress.total,
                "row": progress.offset,
                "sweeps": progress.sweeps,
                "contradicted": len(sweep.contradictions),
                "why_off": progress.off_why or None,
            }
        return words
