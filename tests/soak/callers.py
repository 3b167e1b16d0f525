"""Callers of the soak: by httpx, which mends much, and on bare connections, which hide nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx

from tests.soak.replica import Replica
from tests.soak.truth import IDS, ORGANISATIONS, Question, Training
from tests.soak.world import DRAIN_DELAY, UPSTREAM_TIMEOUT, World
from tests.support.raw_http import Answer, Caller

# Seconds: of which an answer may take so many beside those for which its replica stood still.
LONGEST = 10.0
_PATIENCE = 40.0
_PAUSE = 0.15
_SHORT_PAUSE = 0.05


async def read_on(ours: World, number: int, chance: Random) -> None:
    """Ask any replica for any training, on connections that httpx keeps, renews and retries."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=each.gateway.data, timeout=_PATIENCE, trust_env=False)
            )
            for each in ours.replicas
        ]
        while True:
            await asyncio.sleep(_PAUSE * chance.random() * 2)
            which = chance.randrange(len(clients))
            await _read(ours, which, clients[which], number, chance)


async def _read(
    ours: World, which: int, client: httpx.AsyncClient, number: int, chance: Random
) -> None:
    """One training, two, or the list."""
    organisation, one = _any_training(chance)
    query = chance.choice(("", "", f"?ids={one},{chance.choice(IDS)}", "?limit=100"))
    wanted = [each for each in IDS if "limit" in query or each == one or each in query]
    reader = None if "limit" in query else number
    replica = ours.replicas[which]
    asked = {each: _Asked(ours, replica, (organisation, each), reader) for each in wanted}
    path = f"/training{query}" if query else asked[one].path
    try:
        answer = await client.get(path, headers=asked[one].headers)
    except httpx.TransportError as error:
        asked[one].got_none(repr(error))
        return
    if not query or answer.status_code != httpx.codes.OK:
        asked[one].got(answer)
        return
    items = answer.json()["items"]
    has_all = sorted(each["id"] for each in items) == sorted(IDS)
    if "detail=catalogue" in answer.headers.get("cache-status", "") and not has_all:
        ours.truth.wrong.append(f"{replica.name}: a list lacks or repeats a training: {items}")
    for each in items:
        if each["id"] in asked:  # a list of the API may have wrong ids: it is passed on
            asked[each["id"]].got(_alone(each, answer))


async def stay_on(ours: World, number: int, chance: Random) -> None:
    """Ask one replica on one connection with hardly a pause, until it says that it closes."""
    while True:
        replica = chance.choice(ours.replicas)
        name, was_up = replica.name, replica.is_up
        try:
            async with asyncio.timeout(_PATIENCE):
                connection = await _Connection.to(replica)
        except (OSError, TimeoutError) as error:
            if was_up and replica.is_up and replica.name == name:
                ours.truth.wrong.append(f"{name} is up and took no connection: {error!r}")
            await asyncio.sleep(_PAUSE)
            continue
        try:
            await chance.choice(_MANNERS)(ours, connection, number, chance)
        finally:
            await connection.caller.close()


@dataclass(slots=True)
class _Connection:
    """A connection to one life of a replica, since when nothing was asked on it, and how many
    answers it brought."""

    replica: Replica
    caller: Caller
    writer: asyncio.StreamWriter
    idle_since: float
    answers: int = 0

    @classmethod
    async def to(cls, replica: Replica) -> _Connection:
        where = httpx.URL(replica.gateway.data)
        reader, writer = await asyncio.open_connection(where.host, where.port)
        return cls(replica, Caller(reader, writer), writer, time.monotonic())

    async def ask(self, asked: _Asked, version: str, *, ends: bool = False) -> Answer | None:
        """The answer, None where the connection ended or nothing came in time."""
        head = f"GET {asked.path} HTTP/{version}\r\nHost: a\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
        await self.caller.send(f"{head}{lines}\r\n".encode())
        if ends:
            with suppress(OSError):  # the replica has perhaps died since
                self.writer.write_eof()
        try:
            answer = await self.caller.answer()
        except TimeoutError:
            answer = None
        self.idle_since = time.monotonic()
        self.answers += answer is not None
        return answer


async def _keep(ours: World, connection: _Connection, number: int, chance: Random) -> None:
    """Until an answer says that the connection ends; no request may be lost on it before."""
    while True:
        await asyncio.sleep(_SHORT_PAUSE * chance.random())
        idle = time.monotonic() - connection.idle_since
        asked = _Asked(ours, connection.replica, _any_training(chance), number)
        answer = await connection.ask(asked, "1.1")
        if answer is None:
            # Either side may give up what is idle; what nobody accepted ends with the listener.
            is_in_use = connection.answers > 0 and idle < DRAIN_DELAY / 2
            asked.got_none("lost on a kept connection", is_told_of_its_end=is_in_use)
            return
        asked.got(_response(answer))
        if answer.fields.get("connection", "").lower() == "close":
            ours.truth.seen["told that the connection ends"] += 1
            return


async def _half_close(ours: World, connection: _Connection, number: int, chance: Random) -> None:
    """What was asked is answered, though the caller sends nothing more."""
    await _ask_once(ours, connection, number, chance, version="1.1", ends=True)


async def _old(ours: World, connection: _Connection, number: int, chance: Random) -> None:
    """As HTTP/1.0 asks."""
    await _ask_once(ours, connection, number, chance, version="1.0", ends=False)


_MANNERS = (_keep, _keep, _keep, _half_close, _old)


async def _ask_once(
    ours: World, connection: _Connection, number: int, chance: Random, version: str, *, ends: bool
) -> None:
    asked = _Asked(ours, connection.replica, _any_training(chance), number)
    answer = await connection.ask(asked, version, ends=ends)
    if answer is None:
        asked.got_none(f"HTTP/{version}, {'half-closed' if ends else 'whole'}")
    else:
        asked.got(_response(answer))


def _alone(item: dict[str, Any], whole: httpx.Response) -> httpx.Response:
    """The item of a batch as if it had been asked for alone. An item of a list is at most as old as
    the list."""
    if "training" not in item and "error" not in item:
        said = {name: whole.headers[name] for name in ("age", "cache-status")}
        return httpx.Response(200, headers=said, json=item)
    headers = {"age": str(item.get("age", 0)), "cache-status": f"gateway; {item.get('cache', '')}"}
    if "retry_after" in item:
        headers["retry-after"] = str(item["retry_after"])
    body = item.get("training", item.get("error"))
    return httpx.Response(item["status"], headers=headers, json=body)


class _Asked:
    """One request for a training, and what is known of its replica as it is sent. `reader` None: a
    list, which may have an older version than the training alone."""

    def __init__(
        self, ours: World, replica: Replica, training: Training, reader: int | None
    ) -> None:
        now = time.monotonic()
        self._ours, self._truth = ours, ours.truth
        self._client, self._key = f"{training[0]}-web", ours.key_of(training[0])
        self._replica = replica
        self._was_up = replica.is_up
        floors = self._truth.floors(training, now)
        self._question = Question(training, replica.name, reader, now, *floors, replica.may_rescue)
        self.path = f"/training/{training[1]}"
        self.headers = {"Authorization": f"Bearer {self._key}"}

    def got(self, answer: httpx.Response) -> None:
        """Judge it; a refusal is right where the key went while the answer was awaited."""
        if answer.status_code == httpx.codes.UNAUTHORIZED and not self._is_in_force():
            self._truth.seen["asked with a key that went meanwhile"] += 1
            return
        asked_at = self._question.asked_at
        took = time.monotonic() - asked_at
        # What a fetch brings is as old as the fetch, and it may have begun before.
        grace = self._replica.stood_still(asked_at - UPSTREAM_TIMEOUT)
        self._truth.judge(self._question, answer, took, grace)
        if took - self._replica.stood_still(asked_at) > LONGEST:
            name = self._question.replica
            self._truth.wrong.append(f"{name}: {answer.status_code} after {took:.1f} s")

    def _is_in_force(self) -> bool:
        return self._key in self._ours.clients.keys[self._client][1]

    def got_none(self, how: str, *, is_told_of_its_end: bool = False) -> None:
        """No answer: excused where the replica was killed, or ends and need not say so here."""
        self._truth.seen["unanswered"] += 1
        replica, name = self._replica, self._question.replica
        is_up = self._was_up and replica.is_up and replica.name == name
        if name not in replica.killed and (is_up or is_told_of_its_end):
            took = time.monotonic() - self._question.asked_at
            state = "is up" if is_up else "drained"
            self._truth.wrong.append(f"{name} {state}, no answer after {took:.1f} s: {how}")


def _any_training(chance: Random) -> Training:
    return chance.choice(ORGANISATIONS), chance.choice(IDS)


def _response(answer: Answer) -> httpx.Response:
    return httpx.Response(answer.status, headers=answer.fields, content=answer.body)
