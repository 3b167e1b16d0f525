"""A target's nodes in front of an upstream of their own, and callers for them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gateway.simulator import SimulatorClient
from tests.support.servers import HOST, ROOT, Process, RedisServer, answers, free_port
from tests.torture.caller import PATIENCE, Answer, ask
from tests.torture.target import Node, Target

ALICE, BOB, STRANGER = "alice-token", "bob-token", "nobodys-token"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a check needs: how many nodes, seconds that answers stay fresh, seconds that a call
    may take, how many calls in how many seconds the upstream accepts and the target is told, and
    whether the target may refresh ahead of its readers, with Alice's token for everybody."""

    nodes: int = 1
    lifetime: int = 30
    timeout: int = 5
    limit: int | None = None
    window: int = 60
    ahead: bool = False


@dataclass(slots=True)
class Stand:
    """Callers ask nodes in turn, unless told which."""

    nodes: list[Node]
    upstream: SimulatorClient
    upstream_url: str
    setting: Setting
    _turn: int = field(default=0)

    async def get(
        self,
        training_id: str,
        token: str | None = ALICE,
        *,
        method: str = "GET",
        patience: float = PATIENCE,
        **fields: str,
    ) -> Answer:
        """Read a training; underscores in field names stand for hyphens."""
        self._turn += 1
        node = self.nodes[self._turn % len(self.nodes)]
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        if token is not None:
            named["Authorization"] = f"Bearer {token}"
        path = f"/training/{training_id}"
        return await ask(node.url, path, named, method=method, patience=patience)

    async def crowd(
        self, training_id: str, callers: int, token: str | None = ALICE
    ) -> list[Answer]:
        """So many ask at once."""
        return await asyncio.gather(*(self.get(training_id, token) for _ in range(callers)))

    async def purge(self, training_id: str, token: str = ALICE) -> int | None:
        """The status of the purge's answer; None where the target knows no purge."""
        purge = self.nodes[0].purge(id=training_id, token=token)
        if purge is None:
            return None
        where = urlsplit(purge.url)
        answer = await ask(
            f"{where.scheme}://{where.netloc}",
            where.path,
            purge.headers,
            method=purge.method,
            body=purge.body.encode(),
        )
        return answer.status

    async def bound(self, patience: float) -> float | None:
        """Seconds that no answer may lag behind, as the target states it; None: it states none.

        Waits for that until it is in force; raises TimeoutError."""
        async with asyncio.timeout(patience):
            while self.nodes[0].stated:
                seconds = self.nodes[0].bound()
                if seconds is not None:
                    return seconds
                await asyncio.sleep(1.0)
        return None

    async def calls(self, training_id: str | None = None) -> int:
        """What the upstream was asked since the last reset, for a training or in all."""
        stats = await self.upstream.stats()
        return stats.requests if training_id is None else stats.by_id.get(training_id, 0)

    def memory(self) -> int:
        """The bytes that all its processes have in memory."""
        return sum(_memory(node.process.pid) for node in self.nodes)


@asynccontextmanager
async def stand(target: Target, setting: Setting) -> AsyncIterator[Stand]:
    """Start the upstream and so many nodes; Alice and Bob are of two organisations."""
    with tempfile.TemporaryDirectory(prefix="torture-") as name, ExitStack() as stack:
        folder, port = Path(name), free_port()
        upstream = f"http://{HOST}:{port}"
        stack.enter_context(_simulator(folder, port, setting))
        shares = setting.nodes > 1 and bool(target.shared)
        redis = stack.enter_context(RedisServer(folder)) if shares else None
        values = {
            "upstream_port": port,
            "redis_port": redis.port if redis else 0,
            "lifetime": setting.lifetime,
            "timeout": setting.timeout,
            "longer": setting.timeout + 1,
            **_limit(setting),
        }
        joined = target.shared if shares else {}
        more = joined | (target.ahead if setting.ahead else {})
        nodes = [Node(target, folder, values, more) for _ in range(setting.nodes)]
        for node in nodes:
            stack.enter_context(node.process)
        async with SimulatorClient(upstream) as client:
            yield Stand(nodes, client, upstream, setting)


def _limit(setting: Setting) -> dict[str, object]:
    """As targets write it; those that cannot do without one get the API's own."""
    calls = setting.limit or 100
    return {
        "limit": f"{setting.limit}/{setting.window}s" if setting.limit else "unlimited",
        "calls": calls,
        "window": setting.window,
        "calls_a_minute": calls * 60 // setting.window,
    }


def _simulator(folder: Path, port: int, setting: Setting) -> Process:
    keys = ("--key", f"{ALICE}=alice", "--key", f"{BOB}=bob")
    limit = ("--limit", str(setting.limit or 0), "--window", str(setting.window))
    return Process(
        [sys.executable, "-m", "gateway", "simulate", "--port", str(port), *keys, *limit],
        log=folder / "simulator.log",
        ready=lambda: answers(f"http://{HOST}:{port}/_control/stats"),
        environment={"PYTHONPATH": str(ROOT)},
    )


def _memory(pid: int) -> int:
    """Resident bytes of a process and its children."""
    with contextlib.suppress(FileNotFoundError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return pages * 4096 + sum(_memory(int(child)) for child in children)
    return 0
