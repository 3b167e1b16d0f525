"""A gateway whose standard output nobody reads: as a log shipper that hangs leaves it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.servers import HOST, wait_until
from tests.system.commands import TOKEN, Gateway, address, get, port_of, simulator

_SMALLEST_PIPE = 4096
# Twenty lines fill the pipe; with these the writer stands still.
_IDS = [f"trn_{number:06}" for number in range(1, 61)]
# At level debug each hit is a line of 400 bytes, and the buffer takes 4 MiB.
_BATCH, _MOST_BATCHES = 100, 300
_DROPPED = "gateway_log_lines_dropped_total"


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """The address of a simulator with enough trainings."""
    with simulator(tmp_path, "--trainings", str(len(_IDS)), "--limit", "0") as process:
        yield address(process)


@contextmanager
def _unread(folder: Path, upstream: str, level: str) -> Iterator[tuple[Gateway, int]]:
    """A running gateway and the reading end of its standard output, a small pipe."""
    unlimited = {"GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited", "GATEWAY_LOG__LEVEL": level}
    house = Gateway(folder, upstream, **unlimited)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _SMALLEST_PIPE)
    house.process.stdout = writing
    try:
        with house.process:
            os.close(writing)
            yield house, reading
    finally:
        os.close(reading)


def test_requests_probes_and_the_end_do_not_wait_for_a_reader(
    tmp_path: Path, upstream: str
) -> None:
    """Misses, hits and probes are answered with the pipe full, and SIGTERM ends with 0."""
    with _unread(tmp_path, upstream, "info") as (house, reading):
        misses = [get(f"{house.data}/training/{each}") for each in _IDS]
        hits = [get(f"{house.data}/training/{each}") for each in _IDS]
        probes = [get(f"{url}/livez") for url in (house.data, house.admin)]
        exit_code = house.process.stop()

        lines = os.read(reading, 2**20).splitlines()

    assert {answer.status_code for answer in (*misses, *hits, *probes)} == {200}
    assert all("hit" in answer.headers["cache-status"] for answer in hits)
    assert exit_code == 0
    assert len(lines) < len(_IDS)  # the pipe was full


def test_lost_lines_are_counted_and_told_when_it_goes_on(tmp_path: Path, upstream: str) -> None:
    """The counter rises; one line says that number where the gap is; the last line arrives."""
    with _unread(tmp_path, upstream, "debug") as (house, reading):
        _ask_until_lines_are_lost(house)
        lost = _metric(house, _DROPPED)
        log = _Log(reading)
        wait_until(lambda: "log.lines-dropped" in log.events, 60, "the line about those lost")
        after = get(f"{house.data}/training/{_IDS[0]}")
        exit_code = house.process.stop()
        log.wait()

    notices = [record for record in log.records if record["event"] == "log.lines-dropped"]
    assert [record["count"] for record in notices] == [lost]
    assert log.events.count("request.answered") > 5_000
    assert after.headers["x-request-id"] in [each.get("request_id") for each in log.records]
    assert (log.events[-1], exit_code) == ("gateway.stopped", 0)


class _Log:
    """Reads lines from now on, until the writer has gone."""

    def __init__(self, reading: int) -> None:
        self.records: list[dict[str, object]] = []
        self._reading = os.dup(reading)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    @property
    def events(self) -> list[object]:
        """Their events."""
        return [record["event"] for record in self.records]

    def wait(self) -> None:
        """Return once there is no more to read."""
        self._thread.join(60)

    def _read(self) -> None:
        with os.fdopen(self._reading, "rb") as lines:
            for line in lines:
                self.records.append(json.loads(line))


def _ask_until_lines_are_lost(house: Gateway) -> None:
    get(f"{house.data}/training/{_IDS[0]}")
    asked = f"HEAD /training/{_IDS[0]} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    with socket.create_connection((HOST, port_of(house.data)), timeout=60) as connection:
        for _ in range(_MOST_BATCHES):
            connection.sendall(asked.encode() * _BATCH)
            answers = b""
            while answers.count(b"\r\n\r\n") < _BATCH:
                answers += connection.recv(2**20)
            if _metric(house, _DROPPED):
                return
    raise AssertionError("no line was lost")


def _metric(house: Gateway, name: str) -> float:
    text = httpx.get(f"{house.admin}/metrics", trust_env=False, timeout=30).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))
