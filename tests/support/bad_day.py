"""A machine on a bad day: cores that others keep busy, and processes that stand still for a while.

`busy_cores` and `stops` are for single tests; `bad_day` is the switch `--bad-day` of a whole run.
Everything here ends with the process that started it, even where that one is killed.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Of a whole run: seconds that gateways stand still, as a CPU quota makes them, and go on between.
_STOP = 0.08
_PAUSE = (0.2, 2.0)
_LONGEST_RUN = 4 * 3600.0
_PYTHON = (sys.executable, "-I", "-S")
_BURN = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
parent, ends = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while os.getppid() == parent and time.monotonic() < ends:
    for _ in range(100_000): pass
"""


@contextmanager
def busy_cores(cores: int | None = None, seconds: float = 600.0) -> Iterator[list[int]]:
    """Keep so many cores busy (None: all), for so many seconds at most; the burners' ids."""
    count = cores or len(os.sched_getaffinity(0))
    command = [*_PYTHON, "-c", _BURN, str(os.getpid()), str(seconds)]
    with contextlib.ExitStack() as stack:
        burners = []
        for _ in range(count):
            burners.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            stack.callback(burners[-1].wait)
            stack.callback(burners[-1].kill)
        yield [each.pid for each in burners]


class Stops:
    """Stops processes and lets them go on, all at once, from a process of its own.

    Each stop takes `length` seconds; between two of them are `pause` seconds, taken at random
    from that range; `count` None goes on until `close`. This process itself may be among them:
    it then sleeps in a signal's handler (SIGUSR1), since a shell would take a stopped pytest for
    one that was sent to the background.
    """

    def __init__(
        self, length: float, pause: tuple[float, float], count: int | None = None, seed: int = 1
    ) -> None:
        self._length = length
        self._talk = threading.Lock()  # gateways are started in threads, several at once
        plan = (length, *pause, -1 if count is None else count, seed)
        self._child = subprocess.Popen(
            [*_PYTHON, __file__, *map(str, plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def add(self, pid: int) -> None:
        """Stop this process too, as long as it lives."""
        if pid == os.getpid():
            signal.signal(signal.SIGUSR1, self._sleep)
        self._tell("+", pid)

    def drop(self, pid: int) -> None:
        """Stop it no more; when this returns, it goes on."""
        self._tell("-", pid)

    @property
    def done(self) -> bool:
        """Whether all stops are over."""
        return self._child.poll() is not None

    def close(self) -> None:
        """End; whatever stands still goes on."""
        self._child.communicate()

    def _tell(self, sign: str, pid: int) -> None:
        # Nobody hears it once all stops are over.
        with self._talk, contextlib.suppress(BrokenPipeError):
            print(sign, pid, file=self._child.stdin)
            assert self._child.stdout is not None
            self._child.stdout.readline()

    def _sleep(self, *_: object) -> None:
        time.sleep(self._length)


@contextmanager
def stops(*pids: int, length: float, count: int, over: float) -> Iterator[Stops]:
    """Stop these processes so often, evenly over so many seconds; ask `done` for the end."""
    pause = max(0.0, over / count - length)
    stopping = Stops(length, (pause, pause), count)
    try:
        for pid in pids:
            stopping.add(pid)
        yield stopping
    finally:
        stopping.close()


@dataclass(slots=True)
class _Run:
    """The run of tests that this process is part of; `stops` only on a bad day."""

    stops: Stops | None = None


_run = _Run()


@contextmanager
def bad_day(*, burns: bool) -> Iterator[None]:
    """Stop the gateways that this process starts, now and then; `burns`: and keep all cores busy,
    which one process of a run does for all."""
    with contextlib.ExitStack() as stack:
        if burns:
            stack.enter_context(busy_cores(seconds=_LONGEST_RUN))
        before, _run.stops = _run.stops, Stops(_STOP, _PAUSE)
        stack.callback(_run.stops.close)
        try:
            yield
        finally:
            _run.stops = before


def expose(pid: int) -> None:
    """A gateway runs in that process: on a bad day it is stopped now and then."""
    if _run.stops is not None:
        _run.stops.add(pid)


def spare(pid: int) -> None:
    """From now on somebody else says when it stands still."""
    if _run.stops is not None:
        _run.stops.drop(pid)


class _Stopping:
    """What the process of `Stops` does: its standard input says whom to stop."""

    def __init__(self, length: float, least: float, most: float, count: int, seed: int) -> None:
        self._length = length
        self._pause = (least, most)
        self._left = count
        self._random = random.Random(seed)
        # By a descriptor, since the same id may be another process later.
        self._targets: dict[int, int] = {}
        self._heard = b""

    def run(self) -> None:
        """Until all stops are over, or nobody listens any more."""
        while self._left and self._listen(self._random.uniform(*self._pause)):
            if self._targets:
                self._stop()

    def _stop(self) -> None:
        self._left -= 1
        stopped = [pid for pid in list(self._targets) if self._send(pid, signal.SIGSTOP)]
        try:
            time.sleep(self._length)
        finally:
            for pid in stopped:
                self._send(pid, signal.SIGCONT)

    def _send(self, pid: int, number: signal.Signals) -> bool:
        """Whether it was told and lives."""
        if pid == os.getppid():
            if number is signal.SIGSTOP:
                os.kill(pid, signal.SIGUSR1)
            return False
        try:
            signal.pidfd_send_signal(self._targets[pid], number)
        except ProcessLookupError:
            os.close(self._targets.pop(pid))
            return False
        return True

    def _listen(self, seconds: float) -> bool:
        """Take orders for so long; False once there is nobody to give any."""
        ends = time.monotonic() + seconds
        while True:
            left = max(0.0, ends - time.monotonic()) if self._targets else None
            if not select.select([0], [], [], left)[0]:
                return True
            told = os.read(0, 65_536)
            if not told:
                return False
            *lines, self._heard = (self._heard + told).split(b"\n")
            for line in lines:
                self._obey(line.decode())

    def _obey(self, line: str) -> None:
        sign, number = line.split()
        pid = int(number)
        if pid in self._targets:
            os.close(self._targets.pop(pid))
        if sign == "+":
            with contextlib.suppress(ProcessLookupError):
                self._targets[pid] = os.pidfd_open(pid)
        os.write(1, b"done\n")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _length, _least, _most, _count, _seed = sys.argv[1:]
    _Stopping(float(_length), float(_least), float(_most), int(_count), int(_seed)).run()
