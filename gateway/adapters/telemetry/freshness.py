"""The verbs about freshness as a whole: what is promised, and what became of the sweep."""

from __future__ import annotations

from typing import Final

from gateway.adapters.telemetry.log.event_log import DEBUG, INFO, WARNING, Events

_BOUND: Final = "seconds from an edit to the last answer without it, at most"
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
        """What settings say is nobody's fault; a list that refuses may be."""
        tenant = tenant or _ALL
        if seconds is None:
            self._told.emit(INFO, "sweep.off", key=tenant, tenant=tenant, why=why)
            return
        self._told.emit(
            WARNING, "sweep.off", key=tenant, tenant=tenant, why=why, asked_again_in=seconds
        )

    def filling_stopped(self, tenant: str, taken_back: int) -> None:
        self._told.emit(
            WARNING, "sweep.filling-stopped", key=tenant, tenant=tenant, taken_back=taken_back
        )

    def bound_stated(self, tenant: str, seconds: float, *, trainings: int | None) -> None:
        by = "windows" if trainings is None else f"a sweep of {trainings} trainings"
        self._told.emit(
            INFO,
            "freshness.bound",
            key=tenant,
            tenant=tenant or _ALL,
            bound_seconds=round(seconds, 3),
            bound_is=_BOUND,
            kept_by=by,
        )

    def sweep_too_slow(
        self, tenant: str, seconds: float, *, trainings: int, lifetime: float
    ) -> None:
        self._told.emit(
            WARNING,
            "sweep.too-slow",
            key=tenant,
            tenant=tenant,
            bound_seconds=round(seconds, 3),
            freshness_lifetime=lifetime,
            trainings=trainings,
            why=_TOO_SLOW,
        )
