"""Somebody else spends half of the limit with the same key: what a window learns of it by 429s."""

from __future__ import annotations

import heapq
import math
from itertools import count
from random import Random

import pytest

from gateway.core.budget.breaker import Gate
from gateway.core.budget.priority import Rank
from gateway.core.budget.window_log import WindowLog, transit
from gateway.simulator.limiter import Limiter

CALLERS, PATIENCE, WAY, KEY = 8, 5.0, 0.05, "key"


class Shared:
    """Callers of a gateway that just started, and somebody else, at one limiter, in fake time."""

    def __init__(self, limit: int, window: float, seed: int, begun: float) -> None:
        self.log = WindowLog.paced(limit, window + transit(window), begun, max(1, limit // 10))
        self.refusals = 0
        self._gate = Gate()
        self._limiter = Limiter(limit, window)
        self._pause = 2 * window / limit
        self._chance = Random(seed)
        self._order = count()
        self._events: list[tuple[float, int, str, float]] = []
        self._at(self._chance.random() * self._pause, "other")
        for _ in range(CALLERS):
            self._at(begun + self._chance.random(), "ask")

    def run(self, until: float) -> None:
        """Let it happen."""
        while self._events[0][0] <= until:
            now, _, what, told = heapq.heappop(self._events)
            getattr(self, f"_{what}")(now, told)

    def _at(self, when: float, what: str, told: float = 0.0) -> None:
        heapq.heappush(self._events, (when, next(self._order), what, told))

    def _other(self, now: float, _: float) -> None:
        self._limiter.take(KEY, now)
        self._at(now + self._pause, "other")

    def _ask(self, now: float, _: float) -> None:
        """Some callers wait for their turn, others (refreshes) do not."""
        self._at(now + self._pause * self._chance.random(), "ask")
        if self._gate.wait(now) > 0.0:
            return
        patience = PATIENCE if self._gate.is_open and self._chance.random() < 0.3 else 0.0
        wait = self.log.try_take(now, Rank.CALLER, patience)
        if wait <= patience:
            self._gate = self._gate.try_probe(now, patience=15.0) or self._gate
            self._at(now + wait, "turn", now + wait)

    def _turn(self, now: float, stamp: float) -> None:
        if self._gate.wait(now) > 0.0 and self._gate.probe != now:
            self.log.give_back(stamp)
        elif self.log.move(stamp, now):  # else a 429 undid it, and it is asked for anew
            self._at(now + WAY * self._chance.random(), "arrive")

    def _arrive(self, now: float, _: float) -> None:
        wait = self._limiter.take(KEY, now)
        told = 0.0 if wait is None else float(math.ceil(wait))
        self._at(now + WAY * self._chance.random(), "answer", told)

    def _answer(self, now: float, told: float) -> None:
        if not told:
            self._gate = self._gate.reopen(now)
            return
        self.refusals += 1
        if self._gate.is_open or self._gate.probe is not None:
            self.log.refused(now)
        self._gate = self._gate.close(now, told, self._chance.random())


@pytest.mark.parametrize(("limit", "window"), [(10, 6.0), (20, 12.0), (40, 60.0)])
@pytest.mark.parametrize("begun", [0.0, 30.0])
def test_three_refusals_are_enough(limit: int, window: float, begun: float) -> None:
    """Ten windows long, whoever was there first; and what is left is used."""
    for seed in range(8):
        shared = Shared(limit, window, seed, begun)
        shared.run(begun + 10 * window)

        assert shared.refusals <= 3
        assert limit * 0.3 <= shared.log.limit(begun + 10 * window) <= limit * 0.6
