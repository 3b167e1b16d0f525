"""Callers in an open loop: requests leave when they are due, whether answers come or not.

`python -m tests.bench.callers PORT TOKEN IDS RATE SECONDS` prints one line of JSON. The time of a
response counts from when its request was due, also where no connection was idle, or this process
itself was late: without that, a server that stalls is asked less while it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import cast

import uvloop

CONNECTIONS = 64
# Seconds from one look at what is due to the next.
_STEP = 0.000_25
# Microseconds, in buckets of one; longer ones are in the last bucket.
_LONGEST = 5_000_000
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tail:
    """Responses, those among them that were no 200, and milliseconds: percentiles and the longest;
    `late_p99` is how late the callers themselves were, which is in the others as well."""

    count: int
    failed: int
    p50: float
    p99: float
    p999: float
    longest: float
    late_p99: float


class Histogram:
    """Counts times; nothing is lost but what is beyond a microsecond."""

    def __init__(self) -> None:
        self._counts = array("L", bytes(array("L").itemsize * (_LONGEST + 1)))
        self.count = 0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[min(max(int(seconds * 1e6), 0), _LONGEST)] += 1
        self.count += 1

    def quantile(self, share: float) -> float:
        """Milliseconds within which this share of all times was; 0 where there were none."""
        wanted, seen = share * self.count, 0
        for micros, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return micros / 1_000
        return 0.0


class Crowd:
    """What all connections share. A request takes the connection that has been idle for longest.
    If none is idle, it waits for the next one, as requests do in a client's pool."""

    def __init__(self, token: str, ids: int) -> None:
        self.times, self.late = Histogram(), Histogram()
        self.failed = 0
        self._heads = cycle(_head(f"trn_{n:06d}", token) for n in range(1, ids + 1))
        self._idle: deque[Caller] = deque()
        self._waiting: deque[float] = deque()

    def next_head(self) -> bytes:
        """Another training each time."""
        return next(self._heads)

    def ask(self, due: float) -> None:
        """Send a request that is due since then, or have it wait for a connection."""
        if self._idle:
            self._idle.popleft().ask(due)
        else:
            self._waiting.append(due)

    def is_free(self, caller: Caller) -> None:
        """Give this connection the request that waits for longest, if there is one."""
        if self._waiting:
            caller.ask(self._waiting.popleft())
        else:
            self._idle.append(caller)

    def give_up(self, callers: Sequence[Caller]) -> None:
        """Count the requests without an answer, those that wait for a connection among them."""
        under_way = (caller.due for caller in callers if caller.due is not None)
        for due in (*under_way, *self._waiting):
            self.failed += 1
            self.times.add(time.perf_counter() - due)

    def tail(self) -> Tail:
        """What came of it."""
        p50, p99, p999, longest = (self.times.quantile(share) for share in (0.5, 0.99, 0.999, 1.0))
        late = self.late.quantile(0.99)
        return Tail(self.times.count, self.failed, p50, p99, p999, longest, late)


def _head(training_id: str, token: str) -> bytes:
    return (
        f"GET /training/{training_id} HTTP/1.1\r\nHost: gateway.internal\r\nAuthorization: Bearer"
        f" {token}\r\nAccept: application/json\r\nUser-Agent: bench\r\n\r\n"
    ).encode("ascii")


class Caller(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self.due: float | None = None  # since when the request under way is due
        self._missing = 0  # bytes of the response at hand
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way there."""
        self._transport = cast("asyncio.Transport", transport)
        self._crowd.is_free(self)

    def ask(self, due: float) -> None:
        """Send a request that is due since then."""
        self.due = due
        self._transport.write(self._crowd.next_head())

    def data_received(self, data: bytes) -> None:
        """Read a part of a response."""
        if self._missing:
            self._missing -= len(data)
        else:
            data = self._begun + data if self._begun else data
            ends = data.find(_END)
            if ends < 0:
                self._begun = data
                return
            self._begun = b""
            length = _LENGTH.search(data, 0, ends + 2)
            self._missing = ends + len(_END) + int(length[1] if length else 0) - len(data)
            self._crowd.failed += not data.startswith(b"HTTP/1.1 200")
        if self._missing <= 0:
            self._missing = 0
            self._answered()

    def _answered(self) -> None:
        assert self.due is not None, "there is a response without a request"
        self._crowd.times.add(time.perf_counter() - self.due)
        self.due = None
        self._crowd.is_free(self)


class Schedule:
    """When requests are due: at an even rate, from `began` on."""

    def __init__(self, began: float, rate: float, seconds: float) -> None:
        self._began, self._rate = began, rate
        self._asked, self._most = 0, int(rate * seconds)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be asked."""
        return self._asked >= self._most

    def due(self, now: float) -> Iterator[float]:
        """When those were due that were not asked so far."""
        until = min(int((now - self._began) * self._rate) + 1, self._most)
        for number in range(self._asked, until):
            yield self._began + number / self._rate
        self._asked = max(self._asked, until)


async def measure(port: int, token: str, ids: int, rate: float, seconds: float) -> Tail:
    """Ask for `ids` trainings in turn, at that many requests a second."""
    loop, crowd = asyncio.get_running_loop(), Crowd(token, ids)
    callers = [
        (await loop.create_connection(lambda: Caller(crowd), "127.0.0.1", port))[1]
        for _ in range(CONNECTIONS)
    ]
    over = loop.create_future()
    schedule = Schedule(time.perf_counter(), rate, seconds)

    def ask() -> None:
        now = time.perf_counter()
        for due in schedule.due(now):
            crowd.late.add(now - due)
            crowd.ask(due)
        if schedule.is_over and not over.done():
            over.set_result(None)

    with _each_step(loop, ask):
        await over
    await asyncio.sleep(1.0)
    crowd.give_up(callers)
    return crowd.tail()


@contextlib.contextmanager
def _each_step(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> Iterator[None]:
    """Have it called each step, or as often as the loop's own timers allow: those go by
    milliseconds, and Python has others since 3.13."""
    if sys.version_info >= (3, 13):
        timer = os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK)
        os.timerfd_settime(timer, initial=_STEP, interval=_STEP)
        loop.add_reader(timer, lambda: (os.read(timer, 8), call()))
        try:
            yield
        finally:
            loop.remove_reader(timer)
            os.close(timer)
    else:
        steps = asyncio.ensure_future(_by_the_loop(call))
        try:
            yield
        finally:
            steps.cancel()


async def _by_the_loop(call: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(_STEP)
        call()


if __name__ == "__main__":
    _port, _token, _ids, _rate, _seconds = sys.argv[1:]
    _tail = uvloop.run(measure(int(_port), _token, int(_ids), float(_rate), float(_seconds)))
    sys.stdout.write(json.dumps(asdict(_tail)) + "\n")
