"""Stress does what it says, and leaves nothing behind."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.servers import Process, wait_until
from tests.stress import Stops, busy_cores, stops

_COUNTS = """
import signal, sys, time
signal.signal(signal.SIGCONT, lambda *_: print('went on', flush=True))
print('ready', flush=True)
time.sleep(60)
"""
_STARTS_BURNERS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.stress import busy_cores
with busy_cores(2) as pids:
    print(*pids, flush=True)
    time.sleep(60)
"""


def _target(folder: Path) -> Process:
    """A process that prints a line whenever it goes on after a stop."""
    log = folder / "target.log"
    return Process(
        [sys.executable, "-c", _COUNTS], log=log, ready=lambda: "ready" in log.read_text()
    )


def _state(pid: int) -> str:
    """As /proc tells it: R runs, S sleeps, T is stopped."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def _runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}") and _state(pid) != "Z"


def test_a_process_is_stopped_as_often_as_told(tmp_path: Path) -> None:
    """And goes on after the last time."""
    with _target(tmp_path) as target:
        with stops(target.pid, length=0.05, count=5, over=1.5) as going:
            wait_until(lambda: going.done, 30, "all stops")

        assert _state(target.pid) != "T"
        # The system may make one signal of two that a busy process has not yet had time for.
        assert 3 <= target.output.count("went on") <= 5


def test_what_is_dropped_goes_on_and_is_left_alone(tmp_path: Path) -> None:
    """So that a test may stop it by itself."""
    with _target(tmp_path) as target:
        stopping = Stops(0.02, (0.01, 0.02))
        stopping.add(target.pid)
        wait_until(lambda: "went on" in target.output, 30, "a stop")
        stopping.drop(target.pid)
        target.pause()
        wait_until(lambda: _state(target.pid) == "T", 30, "our stop")
        time.sleep(0.3)

        assert _state(target.pid) == "T"
        stopping.close()
        assert _state(target.pid) == "T"


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


def test_a_process_that_ended_is_forgotten(tmp_path: Path) -> None:
    """The others are stopped on."""
    with _target(tmp_path) as target:
        with subprocess.Popen(["sleep", "60"]) as other:
            stopping = Stops(0.02, (0.01, 0.02))
            stopping.add(other.pid)
            other.kill()
        stopping.add(target.pid)
        wait_until(lambda: target.output.count("went on") > 1, 30, "two stops")
        stopping.close()


def test_burners_end_with_who_started_them(tmp_path: Path) -> None:
    """However it ends."""
    command = [sys.executable, "-c", _STARTS_BURNERS, str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as owner:
        assert owner.stdout is not None
        burners = [int(word) for word in owner.stdout.readline().split()]
        wait_until(lambda: all(_state(pid) == "R" for pid in burners), 30, "both busy")
        owner.kill()

    wait_until(lambda: not any(map(_runs, burners)), 30, "no burner")


def test_burners_end_with_their_block() -> None:
    """As many as told."""
    with busy_cores(3) as burners:
        assert len(set(burners)) == 3
        assert all(map(_runs, burners))

    assert not any(map(_runs, burners))
