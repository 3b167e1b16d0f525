"""Replicas as processes that sweep a simulator, and trainings that are deleted there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from tests.support.servers import wait_until
from tests.system.commands import Gateway, address, get, simulator

TRAININGS = 60
# A bound of six seconds: answers are fresh for as long, and pages renew them.
SETTINGS = {
    "GATEWAY_ACCESS__MODE": "open",
    "GATEWAY_UPSTREAM__TOKEN": "demo-token",
    "GATEWAY_UPSTREAM__RATE_LIMIT": "600/minute",
    "GATEWAY_SWEEP__SHARE": "0.1",
    "GATEWAY_SWEEP__INTERVAL": "2s",
    "GATEWAY_FRESHNESS__LIFETIME": "6s",
    "GATEWAY_L1__LIFETIME": "1s",
    "GATEWAY_REDIS__TIMEOUT": "5s",
}


@dataclass(frozen=True, slots=True)
class Swept:
    """Replicas on one Redis, and the simulator's address."""

    upstream: str
    replicas: list[Gateway]

    def state(self) -> dict[str, object]:
        """What the first replica states of its freshness; somebody reads meanwhile."""
        get(f"{self.replicas[0].data}/training/trn_000001")
        words = get(f"{self.replicas[0].admin}/status").json()["freshness"]["tenants"]
        return dict(words.get("default", {}))

    def states_a_bound(self) -> bool:
        """Whether a sweep's bound is promised."""
        return self.state().get("sweep") == "on"

    def delete(self, training_id: str) -> None:
        """Delete it in the API; nobody tells the gateway."""
        self._order("delete", id=training_id)

    def edit(self, training_id: str, content: str) -> None:
        """Edit it in the API; nobody tells the gateway."""
        self._order("edit", id=training_id, content=content)

    def _order(self, name: str, **order: str) -> None:
        url = f"{self.upstream}/_control/{name}"
        httpx.post(url, json=order, trust_env=False, timeout=5).raise_for_status()

    def is_fresh(self, training_id: str) -> bool:
        """Whether a replica answers it with a fresh 200."""
        return bool(self.is_fresh_somewhere(training_id))

    def is_fresh_somewhere(self, training_id: str) -> list[str]:
        """Which replicas answer it with a fresh 200, and how."""
        answers = [get(f"{each.data}/training/{training_id}") for each in self.replicas]
        return [
            f"{each.headers['cache-status']}, age {each.headers.get('age')}"
            for each in answers
            if each.status_code == 200 and "stale" not in each.headers["cache-status"]
        ]


@contextmanager
def swept(folder: Path, redis_urls: Sequence[str]) -> Iterator[Swept]:
    """A replica for each of these addresses of one Redis, in front of a simulator with as many
    trainings."""
    with ExitStack() as stack:
        options = ("--trainings", str(TRAININGS), "--limit", "1000000")
        process = stack.enter_context(simulator(folder, *options))
        upstream = address(process)
        settings = [{**SETTINGS, "GATEWAY_REDIS__URL": each} for each in redis_urls]
        found = Swept(upstream, [Gateway(folder, upstream, **each) for each in settings])
        for each in found.replicas:
            stack.enter_context(each.process)
        yield found


def fresh_after_the_bound(found: Swept, count: int) -> list[str]:
    """How those were answered as fresh after the bound that were deleted: so many that are read all
    the time, and so many that nobody reads."""
    wait_until(found.states_a_bound, 90.0, "a bound is stated")
    ids = [f"trn_{number:06d}" for number in range(TRAININGS - 2 * count, TRAININGS)]
    for each in ids:
        wait_until(partial(found.is_fresh, each), 30.0, f"a fresh answer to {each}")
    bound = found.state()["bound_seconds"]
    assert isinstance(bound, float)
    for each in ids:
        found.delete(each)
    until = time.monotonic() + bound
    while time.monotonic() < until:
        found.state()
        for each in ids[:count]:
            found.is_fresh_somewhere(each)
        time.sleep(0.5)
    return [f"{each}: {how}" for each in ids for how in found.is_fresh_somewhere(each)]
