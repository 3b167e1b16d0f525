"""What else goes on while hits are measured: look-ups in Redis, orders, scrapes, a live page.

`python -m tests.bench.background PORT ADMIN TOKEN FIRST IDS SECONDS` prints one line of JSON. Each
kind of work has a thread and a connection of its own, so that none of them waits for another.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

_LOOK_UPS = 100
_ORDERED_EACH = 1.0
_SCRAPED_EACH = 5.0
_TURN = re.compile(r"^gateway_event_loop_lag_seconds (\S+)", re.MULTILINE)
_REFRESHES = re.compile(
    r'^gateway_upstream_requests_total\{purpose="refresh",status="2xx"\} (\S+)', re.MULTILINE
)


@dataclass(slots=True)
class Done:
    """How much was done; `from_redis` of the look-ups were answered from there. `refused`: the
    problem of each order that the gateway answered with a 503. `longest_turn`: of the event loop,
    in milliseconds, as the gateway tells it; `refreshes`: a second, from the first scrape to the
    last one."""

    look_ups: int = 0
    from_redis: int = 0
    orders: int = 0
    refused: list[str] = field(default_factory=list)
    scrapes: int = 0
    lines: int = 0
    longest_turn: float = 0.0
    refreshes: float = 0.0
    faults: list[str] = field(default_factory=list)


class Work:
    """All of it, at one gateway, for so many seconds."""

    def __init__(self, port: int, admin: int, token: str, seconds: float) -> None:
        self.done = Done()
        self._port, self._admin = port, admin
        self._fields = {"Authorization": f"Bearer {token}"}
        self._until = time.monotonic() + seconds

    def run(self, first: int, ids: int) -> Done:
        """Trainings 1 to `first` - 1 are what others read; the look-ups are for the `ids` after."""
        works: tuple[Callable[[], None], ...] = (
            lambda: self._look_up(first, ids),
            lambda: self._order(first - 1),
            self._scrape,
            self._watch,
        )
        threads = [threading.Thread(target=self._kept, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.done

    def _kept(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as fault:  # noqa: BLE001 -- told by who started all this
            self.done.faults.append(repr(fault))

    def _look_up(self, first: int, ids: int) -> None:
        wire = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        numbers = itertools.cycle(range(first, first + ids))
        for _ in self._each(1 / _LOOK_UPS):
            wire.request("GET", f"/training/trn_{next(numbers):06d}", headers=self._fields)
            answer = wire.getresponse()
            answer.read()
            self.done.look_ups += 1
            self.done.from_redis += "detail=l2" in (answer.getheader("cache-status") or "")

    def _order(self, ids: int) -> None:
        wire = http.client.HTTPConnection("127.0.0.1", self._admin, timeout=30)
        numbers = itertools.cycle(range(1, ids + 1))
        for _ in self._each(_ORDERED_EACH):
            self._invalidate(wire, {"ids": [f"trn_{next(numbers):06d}"]})

    def _invalidate(self, wire: http.client.HTTPConnection, order: dict[str, object]) -> None:
        sort = {"Content-Type": "application/json"}
        wire.request("POST", "/invalidate", json.dumps(order), headers=sort)
        answer = wire.getresponse()
        body = answer.read().decode()
        # Callers go before Redis on its core, so on a slow machine it may answer too late.
        if answer.status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            self.done.refused.append(body)
            return
        assert answer.status == http.HTTPStatus.OK, f"an order was answered {answer.status}: {body}"
        self.done.orders += 1

    def _scrape(self) -> None:
        wire = http.client.HTTPConnection("127.0.0.1", self._admin, timeout=30)
        began, before = 0.0, 0.0
        for _ in self._each(_SCRAPED_EACH):
            wire.request("GET", "/metrics")
            said = wire.getresponse().read().decode()
            self.done.scrapes += 1
            told = _TURN.search(said)
            refreshed = _REFRESHES.search(said)
            count, now = float(refreshed[1]) if refreshed else 0.0, time.monotonic()
            if self.done.scrapes == 1:  # it tells of the time before
                began, before = now, count
                continue
            self.done.refreshes = (count - before) / (now - began)
            if told:
                self.done.longest_turn = max(self.done.longest_turn, float(told[1]) * 1_000)

    def _watch(self) -> None:
        wire = http.client.HTTPConnection("127.0.0.1", self._admin, timeout=30)
        wire.request("GET", "/live")
        stream = wire.getresponse()
        while time.monotonic() < self._until:
            stream.readline()
            self.done.lines += 1
        wire.close()

    def _each(self, step: float) -> Iterator[None]:
        """Once a step, until the time is over, and once more behind it."""
        due = time.monotonic()
        while due <= self._until:
            time.sleep(max(0.0, due - time.monotonic()))
            yield
            due += step


if __name__ == "__main__":
    _port, _admin, _token, _first, _ids, _seconds = sys.argv[1:]
    _work = Work(int(_port), int(_admin), _token, float(_seconds))
    sys.stdout.write(json.dumps(asdict(_work.run(int(_first), int(_ids)))) + "\n")
