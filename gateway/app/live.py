"""The data of the live page's stream.

Each message has the present state, and the events and rows that are new. A row has the figures of
two seconds. The first message also has `about`: values that stay the same while the process runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Final

import gateway
from gateway.adapters.telemetry.counters import STALE
from gateway.adapters.telemetry.live_figures import EVERY, SPAN, History, Totals, hit_rate
from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.app.compose import House
from gateway.app.health_findings import Findings
from gateway.core.vocabulary import Outcome
from gateway.ports import BudgetView
from gateway.settings import Settings

# A JSON object.
Words = dict[str, object]
# How many rows and events there were at the last message.
Place = tuple[int, int]

# Seconds between two messages.
_PAUSE: Final = 1.0
# The most tenants that the page shows.
_TENANTS: Final = 12


class Live:
    """The data for watchers (open live pages). `ended` is set when the streams have to end."""

    def __init__(
        self,
        house: House,
        settings: Settings,
        readings: Callable[[], GaugeReadings],
        findings: Findings,
        history: History,
        *,
        started: float,
        ended: asyncio.Event,
    ) -> None:
        self._house = house
        self._settings = settings
        self._readings = readings
        self._findings = findings
        self._history = history
        self._started = started
        self._began = round(house.clock.now(), 3)  # Unix time, by which the page notices a restart
        self._ended = ended

    async def pause(self) -> bool:
        """Wait for a second, or until the streams have to end. Returns False if they must end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE):
                await self._ended.wait()
        return not self._ended.is_set()

    def tell(self, place: Place) -> tuple[Words, Place]:
        """The data that is new after `place`, and the new place. (0, 0) is before all rows and
        events."""
        history, events = self._history, self._house.telemetry.events
        words: Words = {
            "now": self._now(),
            "rows": history.after(place[0]),
            "events": [asdict(each) for each in events.after(place[1])],
        }
        if place == (0, 0):
            words["about"] = self._about()
        return words, (history.taken, events.number)

    def _about(self) -> Words:
        freshness = self._settings.freshness
        return {
            "version": gateway.__version__,
            "began": self._began,
            "every": EVERY,
            "span": SPAN,
            "lifetime": freshness.lifetime,
            "stale_while_revalidate": freshness.stale_while_revalidate,
            "stale_if_error": freshness.stale_if_error,
            "l1_max_bytes": self._settings.l1.max_bytes,
            "docs_url": self._settings.admin.docs_url,
        }

    def _now(self) -> Words:
        house, now = self._house, self._readings()
        minute = self._history.minute()
        return {
            "time": house.clock.now(),
            "uptime": round(house.clock.monotonic() - self._started, 1),
            "ready": now.ready,
            "draining": now.draining,
            "findings": [asdict(each) for each in self._findings.now()],
            "minute": _figures_of(minute, self._history),
            "budgets": [{"tenant": name, **asdict(view)} for name, view in _scarce(now.budgets)],
            "tenants": len(now.budgets),
            "circuit": now.circuit,
            "last_success": house.telemetry.counters.last_success,
            "inflight": house.telemetry.counters.calls_inflight,
            "waiters": now.collapsed_waiters,
            "redis": now.redis_up,
            "bus": now.bus_connected,
            "replicas": None if now.bus_connected is False else house.bus.replicas,
            "loop_lag": now.loop_lag,
            "l1": {"entries": now.l1_entries, "bytes": now.l1_bytes},
        }


def _figures_of(minute: Totals, history: History) -> Words:
    """The figures of the last minute. A share, a latency or an age is None if there was no request
    from which it could be computed."""
    asked = sum(minute.requests.values())
    answered = asked - minute.requests[Outcome.REJECTED]
    return {
        "requests": asked,
        "errors": minute.errors,
        "calls": minute.calls,
        "denied": sum(minute.denied.values()),
        "served": 1 - minute.errors / answered if answered else None,
        "hit_rate": hit_rate(minute.requests) if answered else None,
        "stale": sum(minute.requests[each] for each in STALE) / answered if answered else None,
        **{f"p{share:.0f}": minute.latency(share / 100) for share in (50, 99)},
        **{f"age{share:.0f}": minute.age(share / 100, history.oldest()) for share in (50, 99)},
        "oldest_stale": history.oldest_stale(),
    }


def _scarce(budgets: Mapping[str, BudgetView]) -> list[tuple[str, BudgetView]]:
    """The tenants to show: those with a closed gate first, then those with the smallest free share
    of their limit."""

    def left(view: BudgetView) -> float:
        known = view.limit is not None and view.available is not None
        share = (view.available or 0) / (view.limit or 1) if known else 2.0
        return share - (10.0 if view.gate_closed_for else 0.0)

    return sorted(budgets.items(), key=lambda each: left(each[1]))[:_TENANTS]
