"""The verbs about freshness as a whole: what is promised, and what became of the sweep."""

from __future__ import annotations

from typing import Final

from gateway.adapters.telemetry.events import DEBUG, INFO, WARNING, Events

_TOO_SLOW: Final = "the sweep's share of the budget is too small for so many trainings"
_ALL: Final = "*"


class Freshness:
    """A part of the Observer; never raises."""

    def __init__(self, events: Events) -> None:
        self._told = events

    def sweep_ended(self, tenant: str, complete: bool, trainings: int) -> None:
        self._told.emit(
            DEBUG, "sweep.ended", key=tenant, tenant=tenant, complete=complete, trainings=trainings
        )

    def sweep_off(self, tenant: str, why: str, seconds: float | None) -> None:
        tenant = tenant or _ALL
        self._told.emit(
            WARNING, "sweep.off", key=tenant, tenant=tenant, why=why, asked_again_in=seconds
        )

    def filling_stopped(self, tenant: str, taken_back: int) -> None:
        self._told.emit(
            WARNING, "sweep.filling-stopped", key=tenant, tenant=tenant, taken_back=taken_back
        )

    def bound_stated(
        self, tenant: str, seconds: float, *, trainings: int | None, lifetime: float
    ) -> None:
        """A warning where the sweep comes too late for what is promised to be fresh."""
        too_slow = trainings is not None and seconds > lifetime
        self._told.emit(
            WARNING if too_slow else INFO,
            "freshness.bound",
            key=tenant,
            tenant=tenant or _ALL,
            seconds=round(seconds, 3),
            lifetime=lifetime,
            trainings=trainings,
            why=_TOO_SLOW if too_slow else None,
        )
