"""The sweeps of all tenants, and the staleness bound of each tenant (how old an answer can be).

If a tenant gets a new token, a new `Sweep` with this token continues at the stored progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

from gateway.core.access.caller import Caller
from gateway.core.sweep.catalogue import Catalogue
from gateway.core.sweep.progress import SweepState
from gateway.core.sweep.staleness_bound import without_sweep
from gateway.flow.sweep.reconciliation import Reconciliation
from gateway.flow.sweep.sweep import Sweep

# Fields of an answer of the admin plane, for example of `/status`.
Words = dict[str, object]

# Seconds between two checks of the tenants.
_CHECK_EVERY: Final = 1.0


class Sweeps:
    """The sweeps of this replica, one for each tenant.

    own_callers  returns the tenants whose token the gateway has
    sweep_of     makes the sweep of a tenant
    why_none     the reason why there are no sweeps; None: there are sweeps
    """

    def __init__(
        self,
        pages: Reconciliation,
        own_callers: Callable[[], Mapping[str, Caller]],
        sweep_of: Callable[[str, Caller], Sweep],
        *,
        why_none: str | None = None,
    ) -> None:
        self._clock, self._observer = pages.clock, pages.observer.sweeps
        self._cold_start = pages.serving.cold_start
        self._own_callers = own_callers
        self._sweep_of = sweep_of
        self._windows = pages.rules.windows
        self._why_none = why_none
        self._running: dict[str, tuple[Sweep, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Run a sweep for each tenant until cancelled."""
        if self._why_none is not None:
            self._tell_why_none(self._why_none)
            return
        async with asyncio.TaskGroup() as group:
            while True:
                self._keep_up(group)
                await self._clock.sleep(_CHECK_EVERY)

    def confirmed_age(self) -> float | None:
        """Age of the oldest confirmation by a list, in seconds. None if this replica knows of no
        confirmation."""
        return max((each.age for each in self._sweeps() if each.age is not None), default=None)

    def list_state(self, partition: str) -> str | None:
        """How far the list of the partition is believed (see `ListState`). None: not known."""
        known = (each.list_state for each in self._sweeps() if each.caller.partition == partition)
        return next(known, None)

    def catalogue(self, partition: str) -> Catalogue | None:
        """The catalogue of the partition, if this replica has one that may answer."""
        known = (each.catalogue for each in self._sweeps() if each.caller.partition == partition)
        return next(known, None)

    def states(self) -> list[SweepState]:
        """The states of all sweeps."""
        return [each.state for each in self._sweeps()]

    def are_warming(self) -> bool:
        """Whether a cold start is still filling the cache of a tenant, or no sweep runs yet."""
        if self._why_none is not None:
            return False
        return any(each.is_filling for each in self._sweeps()) or not self._running

    def words(self) -> dict[str, Words]:
        """For each tenant: what `/status` says about its staleness bound and its sweep."""
        return {tenant: self._words(sweep) for tenant, (sweep, _) in self._running.items()}

    def bound_without(self) -> float:
        """The bound (seconds) that applies if there is no sweep."""
        return without_sweep(self._windows.lifetime, self._windows.stale_while_revalidate)

    def _tell_why_none(self, why: str) -> None:
        self._observer.sweep_off("", why, None)
        self._observer.bound_stated("", self.bound_without(), trainings=None)

    def _sweeps(self) -> list[Sweep]:
        return [sweep for sweep, _ in self._running.values()]

    def _keep_up(self, group: asyncio.TaskGroup) -> None:
        """Start a sweep for each new tenant or token. End each sweep whose tenant or token is not
        in use any more."""
        callers = self._own_callers()
        for tenant, (sweep, task) in list(self._running.items()):
            if callers.get(tenant) != sweep.caller:
                task.cancel()
                del self._running[tenant]
        for tenant, caller in callers.items():
            if tenant not in self._running:
                sweep = self._sweep_of(tenant, caller)
                self._running[tenant] = sweep, group.create_task(sweep.run())
        self._cold_start.release_others({each.partition for each in callers.values()})

    def _words(self, sweep: Sweep) -> Words:
        bound, progress, age = sweep.bound, sweep.progress, sweep.age
        seconds = self.bound_without() if bound is None else bound.seconds
        words: Words = {
            "sweep": sweep.state,
            "bound_seconds": round(seconds, 3),
            "parts": None if bound is None else asdict(bound),
            "confirmed_seconds": None if age is None else round(age, 3),
        }
        if progress is not None:
            words |= {
                "leads": sweep.turn is not None and sweep.turn.leads,
                "trainings": progress.total,
                "row": progress.offset,
                "sweeps": progress.sweeps,
                "list": sweep.list_state,
                "catalogue": sweep.listed,
                "behind_about": progress.belief.about or None,
                "why_off": progress.off_why or None,
            }
        return words
