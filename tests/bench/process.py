"""What a process costs by itself: memory an entry, and the time to its first answer."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path

from tests.bench import stands
from tests.support.servers import HOST, ROOT


def memory_of(size: int, count: int, python: str) -> tuple[float, float, float]:
    """Of so many entries with bodies of so many bytes: bytes an entry, of the process and by the
    account of L1, and the milliseconds for which a full collection stops all."""
    command = [python, "-m", "tests.bench.memory", str(size), str(count)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    seen, accounted, stopped = map(float, done.stdout.split())
    return seen, accounted, stopped


def first_answer(folder: Path, python: str) -> float:
    """Milliseconds from the start of a gateway to its first answer to a caller."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with (folder / "start.log").open("ab") as log:
        began = time.perf_counter()
        process = stands.start(python, port, log)
        try:
            while not _answers(port):
                time.sleep(0.002)
            return (time.perf_counter() - began) * 1_000
        finally:
            process.terminate()
            process.wait(10)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=5) as wire:
            wire.sendall(b"GET /training/a HTTP/1.1\r\nHost: a\r\n\r\n")
            return bool(wire.recv(1))
    except OSError:
        return False
