"""Stress does what it says, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support.bad_day import Stops, bad_day, stops
from tests.support.servers import Process, wait_until

# A handler may be entered again before it has returned, in which `print` would raise.
_COUNTS = """
import os, signal, time
signal.signal(signal.SIGCONT, lambda *_: os.write(1, b'went on\\n'))
os.write(1, b'ready\\n')
time.sleep(60)
"""
_STARTS_BURNERS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.support.bad_day import busy_cores
with busy_cores(2) as pids:
    print(*pids, flush=True)
    time.sleep(60)
"""


def target(folder: Path, *, is_gateway: bool = False) -> Process:
    """A process that prints a line whenever it goes on after a stop."""
    log = folder / "target.log"
    return Process(
        [sys.executable, "-c", _COUNTS],
        log=log,
        ready=lambda: "ready" in log.read_text(),
        is_gateway=is_gateway,
    )


def _state(pid: int) -> str:
    """As /proc tells it: R runs, S sleeps, T is stopped."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def _runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}") and _state(pid) != "Z"


def test_a_process_is_stopped_as_often_as_told(tmp_path: Path) -> None:
    """And goes on after the last time."""
    with target(tmp_path) as standing:
        with stops(standing.pid, length=0.05, count=5, over=1.5) as going:
            wait_until(lambda: going.done, 30, "all stops")

        assert _state(standing.pid) != "T"
        # The system may make one signal of two that a busy process has not yet had time for.
        assert 3 <= standing.output.count("went on") <= 5


def test_this_process_stands_still_too() -> None:
    """By sleeping, so that no shell takes it for one in the background."""
    stopping = Stops(0.1, (0.2, 0.2), count=2)
    before = signal.getsignal(signal.SIGUSR1)
    try:
        stopping.add(os.getpid())
        times = [time.monotonic()]
        while not stopping.done:
            time.sleep(0.001)
            times.append(time.monotonic())
    finally:
        stopping.close()
        signal.signal(signal.SIGUSR1, before)

    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert sum(gap > 0.09 for gap in gaps) >= 1


def test_burners_end_with_who_started_them(tmp_path: Path) -> None:
    """However it ends."""
    command = [sys.executable, "-c", _STARTS_BURNERS, str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as owner:
        assert owner.stdout is not None
        burners = [int(word) for word in owner.stdout.readline().split()]
        wait_until(lambda: all(_state(pid) == "R" for pid in burners), 30, "both busy")
        owner.kill()

    wait_until(lambda: not any(map(_runs, burners)), 30, "no burner")


def test_on_a_bad_day_gateways_are_stopped_and_their_tests_stop_them_alone(tmp_path: Path) -> None:
    """From its start on; a test that holds one itself is not disturbed."""
    with bad_day(burns=False), target(tmp_path, is_gateway=True) as gateway:
        wait_until(lambda: "went on" in gateway.output, 30, "a stop")
        gateway.pause()
        held = gateway.output.count("went on")
        time.sleep(3)
        assert (_state(gateway.pid), gateway.output.count("went on")) == ("T", held)

        gateway.resume()
        wait_until(lambda: gateway.output.count("went on") > held + 1, 30, "another stop")


def test_gateways_that_start_together_are_all_stopped() -> None:
    """Each is told of in a thread of its own, and none of these waits for another one's answer."""
    with contextlib.ExitStack() as stack:
        stopping = Stops(0.01, (0.5, 1.0))
        stack.callback(stopping.close)
        told = []
        for _ in range(4):
            sleeper = subprocess.Popen(["sleep", "100"])
            stack.callback(sleeper.wait)
            stack.callback(sleeper.kill)
            told.append(threading.Thread(target=_tell_often, args=(stopping, sleeper), daemon=True))
        for thread in told:
            thread.start()
        for thread in told:
            thread.join(30)

        assert not any(thread.is_alive() for thread in told)


def _tell_often(stopping: Stops, sleeper: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        stopping.add(sleeper.pid)
