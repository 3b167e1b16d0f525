"""The replica that leads the sweep is killed, cut off from Redis, or stopped."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.doubles.proxy import Link, Proxy
from tests.support.servers import RedisServer, wait_until
from tests.system.commands import Gateway, get
from tests.system.deleting import TRAININGS, Swept, swept


def state(house: Gateway) -> dict[str, object]:
    """What /status says of the sweep."""
    words = get(f"{house.admin}/status").json()["freshness"]["tenants"]
    return dict(words.get("default", {}))


class CutOff(Proxy):
    """Holds up everything while `is_open` is not set."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def forward(self, link: Link, data: bytes) -> bytes:
        await self.is_open.wait()
        return data

    back = forward


@dataclass(slots=True)
class Watch:
    """Edits a training each second, and reads it for the first time when the edit is older than the
    bound.

    edits  for each training: the number and the moment of its last edit
    late   what was older than the bound that was stated at its moment
    """

    found: Swept
    edits: dict[str, tuple[int, float]] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    reads: int = 0
    _count: int = 0

    def go_on(self, seconds: float, replicas: list[Gateway]) -> None:
        """Edit and read for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._edit()
            for each in replicas:
                self._read(each)
            time.sleep(1.0)

    def _edit(self) -> None:
        self._count += 1
        training_id = f"trn_{2 + self._count % (TRAININGS - 2):06d}"
        self.found.edit(training_id, f"edit {self._count}")
        self.edits[training_id] = self._count, time.monotonic()

    def _read(self, house: Gateway) -> None:
        get(f"{house.data}/training/trn_000001")
        before, now = state(house), time.monotonic()
        bound, confirmed = before["bound_seconds"], before["confirmed_seconds"]
        assert isinstance(bound, float)
        if before["sweep"] == "on" and (not isinstance(confirmed, float) or confirmed > bound):
            self.late.append(f"{house.data}: {bound} s stated, confirmed {confirmed} s ago")
        due = {name: number for name, (number, at) in self.edits.items() if now - at > bound}
        late = [name for name, number in due.items() if self._is_old(house, name, number)]
        if late and before["sweep"] == state(house)["sweep"] == "on":
            self.late.append(f"{house.data}: {late}, {bound} s stated")

    def _is_old(self, house: Gateway, training_id: str, number: int) -> bool:
        """Whether a fresh response lacks the edit."""
        self.reads += 1
        answer = get(f"{house.data}/training/{training_id}")
        if answer.status_code != 200 or "stale" in answer.headers["cache-status"]:
            return False
        word, _, served = answer.json()["content"].partition(" ")
        return word != "edit" or int(served) < number


@pytest.mark.parametrize("loss", ["killed", "cut-off", "stopped"])
async def test_no_response_is_older_than_the_bound_at_its_moment(
    tmp_path: Path, own_redis: RedisServer, loss: str
) -> None:
    """For 40 s without the leader, and after its return. A replica that cannot keep the bound does
    not state it; the other one states it again."""
    async with CutOff(own_redis.url) as one, CutOff(own_redis.url) as other:
        with swept(tmp_path, [one.url, other.url]) as found:
            watch, way = Watch(found), one
            await asyncio.to_thread(wait_until, found.states_a_bound, 90, "a bound is stated")
            if (await asyncio.to_thread(state, found.replicas[1]))["leads"]:
                found.replicas.reverse()
                way = other
            leader, follower = found.replicas
            await asyncio.to_thread(watch.go_on, 10.0, [leader, follower])
            process, cut_off = leader.process, way.is_open.clear
            {"killed": process.kill, "cut-off": cut_off, "stopped": process.pause}[loss]()
            running = [leader, follower] if loss == "cut-off" else [follower]

            await asyncio.to_thread(watch.go_on, 40.0, running)

            words = await asyncio.to_thread(state, follower)
            assert (words["leads"], words["sweep"]) == (True, "on")
            if loss == "cut-off":
                assert (await asyncio.to_thread(state, leader))["sweep"] != "on"
            if loss == "stopped":
                leader.process.resume()
            way.is_open.set()
            running = [follower] if loss == "killed" else [leader, follower]
            await asyncio.to_thread(watch.go_on, 20.0, running)
            for each in running:
                assert (await asyncio.to_thread(state, each))["sweep"] == "on"

    assert watch.late == []
    assert watch.reads > 100
