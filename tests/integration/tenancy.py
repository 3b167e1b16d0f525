"""Random interleavings of callers, keys, rotations, revocations and collapsed fetches.

Three replicas on one Redis; each body is tagged with the organisation that owns it. A campaign
reads with good and with ended keys while another task changes them, and notes what must not be.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import AsyncExitStack
from random import Random

import httpx

from gateway.simulator import SimulatorClient
from tests.integration.client_files import ClientsFile, bearer
from tests.integration.gateways import Planes, apart

ORGANISATIONS = ("acme", "globex", "initech")
IDS = tuple(f"trn_{number:06d}" for number in range(1, 9))
_MANY = f"?ids={','.join(IDS)}"
LIFETIME, STALE = 0.3, 0.4
# So that answers are soon too old, and fetches many. `stale_if_error` is 0: else a slow machine
# could have callers answered past the other windows.
WINDOWS = {
    "freshness__lifetime": f"{LIFETIME}s",
    "freshness__stale_while_revalidate": f"{STALE}s",
    "freshness__stale_if_error": "0s",
    "upstream__rate_limit": "unlimited",
    "log__level": "error",
}
_READERS = 16
_PATIENCE = 20
_ENDED_KEPT = 12


class Campaign(ABC):
    """`bound`: seconds after its end in which a key may still be answered."""

    def __init__(
        self, replicas: list[Planes], control: SimulatorClient, bound: float, seed: int
    ) -> None:
        self.replicas = replicas
        self.control = control
        self.bound = bound
        self.random = Random(seed)
        self.good: dict[str, str] = {}
        self.ended: dict[str, tuple[str, float]] = {}
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()
        self._left = self._most = 0
        self._made = 0

    @abstractmethod
    async def start(self) -> None:
        """Have a good key or two for each organisation."""

    @abstractmethod
    async def change(self) -> None:
        """Change who may ask, in one of the ways that there are."""

    @property
    def was_worth_it(self) -> bool:
        """Whether everything happened that could have gone wrong."""
        wanted = ("200", "401", "good", "late", "changes", "collapsed")
        return all(self.seen[what] for what in wanted)

    async def run(self, reads: int) -> None:
        """Read so often, all readers together, while everything changes; and on, where reading
        was so fast, or changing so slow, that it was not worth it."""
        self._left, self._most = reads, _PATIENCE * reads
        await self.start()
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(self._read_on()) for _ in range(_READERS)]
            changing = group.create_task(self._change_on())
            await asyncio.wait(readers)
            changing.cancel()

    def new_key(self) -> str:
        """One that never was."""
        self._made += 1
        return f"gw_key-{self._made}"

    def end(self, key: str) -> None:
        """From this moment the key is out of force."""
        self.ended[key] = (self.good.pop(key), time.monotonic())
        if len(self.ended) > _ENDED_KEPT:
            del self.ended[next(iter(self.ended))]

    async def _read_on(self) -> None:
        async with AsyncExitStack() as stack:
            own = [await stack.enter_async_context(apart(each)) for each in self.replicas]
            await self._read_all(own)

    async def _read_all(self, replicas: list[Planes]) -> None:
        while self._left > 0 or (self._most > 0 and not self.was_worth_it):
            self._left -= 1
            self._most -= 1
            keys = list(self.ended if self.ended and self.random.random() < 0.3 else self.good)
            await self._read(self.random.choice(replicas), self.random.choice(keys))

    async def _read(self, planes: Planes, key: str) -> None:
        path = self.random.choice((f"/{self.random.choice(IDS)}", _MANY, "?limit=8"))
        was_good = key in self.good
        owner = self.good[key] if was_good else self.ended[key][0]
        began = time.monotonic()
        ended_at = None if was_good else self.ended[key][1]
        answer = await planes.data.get(f"/training{path}", headers=bearer(key))
        self._judge(answer, owner)
        late = ended_at is not None and began > ended_at + self.bound
        if answer.status_code == 200 and late:
            self.wrong.append(f"{key} was answered {began - (ended_at or 0):.2f} s after its end")
        if was_good and key in self.good and answer.status_code != 200:
            self.wrong.append(f"{key}, which is good, got {answer.status_code}: {answer.text}")
        self.seen["late" if late else "good" if was_good else "ending"] += 1

    def _judge(self, answer: httpx.Response, owner: str) -> None:
        self.seen[str(answer.status_code)] += 1
        self.seen["collapsed"] += "; collapsed" in answer.headers.get("cache-status", "")
        told = answer.json() if answer.status_code == 200 else {"items": []}
        for each in told.get("items", [told]):
            training = each.get("training", each)
            mark = f"[{owner}/{training['id']} v"
            if each.get("status", 200) == 200 and mark not in training["content"]:
                self.wrong.append(f"wanted {mark}, got {training['content'][:40]}")

    async def _change_on(self) -> None:
        while True:
            await asyncio.sleep(self.random.random() * 0.2)
            if self.random.random() < 0.5:
                await self.control.edit(
                    self.random.choice(IDS), org=self.random.choice(ORGANISATIONS)
                )
            else:
                await self.change()
                self.seen["changes"] += 1


class OwnTokens(Campaign):
    """`passthrough`: callers' tokens come into force and are revoked at the upstream."""

    async def start(self) -> None:
        for organisation in (*ORGANISATIONS, *ORGANISATIONS):
            await self._add(organisation)

    async def change(self) -> None:
        """A rotation: another token comes, and some other goes."""
        key = self.random.choice(list(self.good))
        await self._add(self.good[key])
        self.end(key)  # from here on it may be refused; it is late only after the bound
        await self.control.revoke_key(key)
        self.ended[key] = (self.ended[key][0], time.monotonic())

    async def _add(self, organisation: str) -> None:
        key = self.new_key()
        await self.control.add_key(key, organisation)
        self.good[key] = organisation


class GatewayKeys(Campaign):
    """`clients`: keys rotate and go by the file, upstream tokens rotate beneath them."""

    def __init__(
        self,
        replicas: list[Planes],
        control: SimulatorClient,
        bound: float,
        seed: int,
        *,
        file: ClientsFile,
    ) -> None:
        super().__init__(replicas, control, bound, seed)
        self._file = file

    async def start(self) -> None:
        for tenant, keys in self._file.keys.values():
            self.good.update(dict.fromkeys(keys, tenant))

    async def change(self) -> None:
        """A key or a token rotates; the new one is in force before the old one goes."""
        client = self.random.choice(list(self._file.keys))
        if self.random.random() < 0.3:
            await self._rotate_token(self._file.keys[client][0])
        else:
            await self._rotate_key(client)

    async def _rotate_key(self, client: str) -> None:
        tenant, (old,) = self._file.keys[client]
        new = self.new_key()
        self._file.keys[client] = (tenant, [old, new])
        self._file.write()
        await asyncio.sleep(self.bound)
        self.good[new] = tenant
        self._file.keys[client] = (tenant, [new])
        self.end(old)
        self._file.write()
        self.ended[old] = (tenant, time.monotonic())

    async def _rotate_token(self, tenant: str) -> None:
        old, new = self._file.tokens[tenant], f"T-{self.new_key()}"
        await self.control.add_key(new, tenant)
        self._file.tokens[tenant] = new
        self._file.write()
        await asyncio.sleep(self.bound)
        await self.control.revoke_key(old)
