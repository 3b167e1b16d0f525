"""What a hit asks of the system and of Redis, counted over a thousand: nothing depends on the
machine's speed, and what is added to every hit shows here before it shows in `make bench`."""

from __future__ import annotations

import re
import shutil
import socket
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.servers import Process, RedisServer, wait_until
from tests.system.commands import TOKEN, Gateway, address, simulator

HITS = 1_000
# Wait for what comes, read it, write the answer.
MOST_CALLS = 3
# At most this many a second while nobody asks: calls to the system, and commands to Redis. Of the
# commands, 44 were counted, with those inside of scripts.
IDLE_CALLS, IDLE_COMMANDS = 120, 60
BEGIN, END = "begin", "end"
# What an answer has before its body.
ENDS = b"\r\n\r\n"
_NAME = re.compile(r"^(?:\d+ +)?(\w+)\(")


@dataclass(frozen=True, slots=True)
class Counted:
    """Of a thousand hits: calls to the system by name, commands to Redis by name, and how long
    that took."""

    calls: Counter[str]
    commands: Counter[str]
    seconds: float


def ask(wire: socket.socket, training_id: str) -> int:
    """One request on that connection, answered; its status."""
    head = f"GET /training/{training_id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}"
    wire.sendall(head.encode() + ENDS)
    answer = b""
    while ENDS not in answer:
        answer += _some(wire)
    fields, body = answer.split(ENDS, 1)
    length = re.search(rb"content-length: (\d+)", fields)
    assert length is not None
    while len(body) < int(length[1]):
        body += _some(wire)
    return int(answer.split(b" ", 2)[1])


def _some(wire: socket.socket) -> bytes:
    data = wire.recv(65_536)
    assert data, "the connection was closed"
    return data


def commands_of(redis: RedisServer) -> Counter[str]:
    """How often each command was run."""
    with redis.client() as client:
        told = client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): each["calls"] for name, each in told.items()})


def calls_between(log: Path) -> Counter[str]:
    """Calls of the one thread that answers, from the first marker to the last."""
    lines = log.read_text(errors="replace").splitlines()
    marked = (
        [n for n, line in enumerate(lines) if f"/training/{BEGIN}" in line],
        [n for n, line in enumerate(lines) if f"/training/{END}" in line],
    )
    begin, end = marked[0][-1], marked[1][0]
    thread = lines[begin].split()[0]
    names = (_NAME.match(line) for line in lines[begin:end] if line.startswith(f"{thread} "))
    return Counter(name[1] for name in names if name is not None)


def traced(house: Gateway, log: Path) -> Process:
    """The same process, its calls to the system written down; skips where there is no strace."""
    if shutil.which("strace") is None:
        pytest.skip("no strace; type: sudo apt-get install strace")
    house.process.command[:0] = ["strace", "-D", "-f", "-qq", "-o", str(log)]
    return house.process


@pytest.fixture
def counted(tmp_path: Path, own_redis: RedisServer) -> Counted:
    """Hits in L1 on one connection, one after the other, with access check, metrics and log."""
    log = tmp_path / "calls.txt"
    with simulator(tmp_path, "--trainings", "20", "--limit", "0") as upstream:
        house = Gateway(
            tmp_path,
            address(upstream),
            GATEWAY_REDIS__URL=own_redis.url,
            GATEWAY_REDIS__TIMEOUT="10s",
            GATEWAY_UPSTREAM__RATE_LIMIT="unlimited",
            GATEWAY_FRESHNESS__LIFETIME="1h",
            GATEWAY_L1__LIFETIME="1h",
            GATEWAY_SWEEP__ENABLED="false",
        )
        with traced(house, log):
            commands, seconds = commands_during_hits(house, own_redis)
    wait_until(lambda: f"/training/{END}" in log.read_text(errors="replace"), 60, "all written")
    return Counted(calls_between(log), commands, seconds)


def commands_during_hits(house: Gateway, redis: RedisServer) -> tuple[Counter[str], float]:
    """What Redis was asked while there were hits and nothing else, and the seconds of this."""
    place, ids = urlsplit(house.data), [f"trn_{number:06d}" for number in range(1, 21)]
    with socket.create_connection((place.hostname, place.port), timeout=60) as wire:
        assert {ask(wire, each) for each in ids * 3} == {200}
        began = time.monotonic()
        assert ask(wire, BEGIN) == 404
        before = commands_of(redis)
        assert {ask(wire, ids[n % len(ids)]) for n in range(HITS)} == {200}
        after = commands_of(redis)
        assert ask(wire, END) == 404
        seconds = time.monotonic() - began
    return after - before, seconds


def test_a_hit_is_a_wait_a_read_and_a_write(counted: Counted) -> None:
    """And asks Redis nothing: no look-up, no script of its own, however many there are."""
    spare = 1.0 + counted.seconds

    assert counted.calls.total() <= HITS * MOST_CALLS + IDLE_CALLS * spare, counted
    assert counted.commands["mget"] == 0, counted
    assert counted.commands.total() <= IDLE_COMMANDS * spare, counted
