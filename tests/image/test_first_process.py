"""The gateway as the first process of a container, for which the kernel drops a signal with the
default action. It needs root's rights, as building the image does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import wait_until
from tests.system.commands import Gateway, address, simulator

FIRST_OF_ITS_OWN = ["unshare", "--pid", "--fork", "--kill-child"]


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """The address of a simulator."""
    with simulator(tmp_path) as process:
        yield address(process)


def test_it_ends_by_a_second_signal(tmp_path: Path, upstream: str) -> None:
    """The kernel drops a signal with the default action for it."""
    house = Gateway(tmp_path, upstream, GATEWAY_SERVER__DRAIN_DELAY="1h")
    house.process.command[:0] = FIRST_OF_ITS_OWN
    with house.process:
        first = _child_of(house.process.pid)
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: "gateway.draining" in house.process.output, 30, "the draining")
        time.sleep(1)  # what comes within 20 ms is the same wish
        os.kill(first, signal.SIGTERM)
        exit_code = house.process.wait(30)

    assert exit_code == 128 + signal.SIGTERM


def test_it_ends_while_it_starts(tmp_path: Path, upstream: str) -> None:
    """As soon as the command runs, long before it serves."""
    house = Gateway(tmp_path, upstream)
    handled = tmp_path / "handled"
    # The first import after the command has begun: it waits there for the signal.
    (tmp_path / "sitecustomize.py").write_text(
        f"import sys, time, pathlib\n"
        f"class Wait:\n"
        f"    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'gateway.app':\n"
        f"            pathlib.Path({str(handled)!r}).touch()\n"
        f"            time.sleep(60)\n"
        f"sys.meta_path.insert(0, Wait())\n"
    )
    command = [*FIRST_OF_ITS_OWN, *house.process.command]
    environment = {**os.environ, **house.settings, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, env=environment) as process:
        wait_until(handled.exists, 30, "the start")
        os.kill(_child_of(process.pid), signal.SIGTERM)
        exit_code = process.wait(30)

    assert exit_code == 128 + signal.SIGTERM


def _child_of(pid: int) -> int:
    """The only child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
