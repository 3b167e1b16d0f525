from __future__ import annotations

import asyncio
import json

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.core.access.caller import digest_of
from gateway.core.access.operators import Operator, Operators
from gateway.core.vocabulary import Right
from gateway.web.admin.app import MOST_WATCHERS, Place, Stream
from gateway.web.admin.guard import Guard
from tests.unit.web.operations import Admin
from tests.unit.web.planes import ask, problem_word


async def test_lines_are_told_until_it_is_over() -> None:
    """Each a JSON object that goes on where the one before ended."""
    answer = await Admin().ask("/live")

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert [json.loads(line)["place"] for line in answer.text.splitlines()] == [
        [0, 0],
        [2, 1],
        [4, 2],
    ]


async def test_a_head_waits_for_nothing() -> None:
    """It would never end."""
    admin = Admin()

    answer = await admin.ask("/live", "HEAD")

    assert (answer.status_code, answer.content) == (200, b"")
    assert admin.operations.watched.lines == 3


class Endless:
    """There is always more to see."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    def tell(self, place: Place) -> tuple[dict[str, object], Place]:
        return {}, place

    async def pause(self) -> bool:
        await self.over.wait()
        return False


async def test_so_many_watch_and_no_more() -> None:
    """A further reader is told so, also one that comes in the same turn of the event loop. One
    that leaves makes room."""
    endless = Endless()
    admin = Admin()
    admin.operations.watched = endless  # type: ignore[assignment]
    application = admin.remade()
    asking = [asyncio.create_task(ask(application, "/live")) for _ in range(MOST_WATCHERS + 1)]
    await asyncio.sleep(0.05)

    ended = [task.result() for task in asking if task.done()]
    refused = [*ended, await ask(application, "/live")]
    endless.over.set()
    await asyncio.gather(*asking)
    let_in = await ask(application, "/live")

    assert [each.status_code for each in refused] == [503, 503]
    assert {problem_word(each) for each in refused} == {"too-many-connections"}
    assert refused[0].headers["retry-after"] == "5"
    assert let_in.status_code == 200


def on_call(*may: Right) -> Operator:
    """A row of the tokens file."""
    return Operator("on-call", (digest_of("t0ken"),), frozenset(may))


class Changing:
    """Two messages. Between them, the operators of the tokens file change."""

    def __init__(self, operators: Operators, after: list[Operator]) -> None:
        self._operators = operators
        self._after = after

    def tell(self, place: Place) -> tuple[dict[str, object], Place]:
        return {"message": place[0] + 1}, (place[0] + 1, 0)

    async def pause(self) -> bool:
        is_first = self._operators.names == ("on-call",)
        self._operators.replace([*self._after, Operator("new", (), frozenset())])
        return is_first


@pytest.mark.parametrize(
    ("after", "messages"),
    [([], [1]), ([on_call(Right.PURGE)], [1]), ([on_call(Right.READ, Right.PURGE)], [1, 2])],
)
async def test_a_removed_token_ends_the_stream(after: list[Operator], messages: list[int]) -> None:
    """Before the next message. A token that may no longer read is as good as removed."""
    admin = Admin(listed=[on_call(Right.READ)])
    admin.operations.watched = Changing(admin.operators, after)  # type: ignore[assignment]

    answer = await ask(admin.remade(), "/live", headers={"authorization": "Bearer t0ken"})

    assert [json.loads(line)["message"] for line in answer.text.splitlines()] == messages


async def test_who_leaves_is_not_counted() -> None:
    """Whatever cut the stream off."""
    stream = Stream(Endless(), Guard("127.0.0.1", Operators(None), frozenset()))
    route = Route("/live", stream.answer)
    watching = asyncio.create_task(ask(Starlette(routes=[route]), "/live"))
    await asyncio.sleep(0.05)
    assert stream.watchers == 1

    watching.cancel()
    await asyncio.wait([watching])

    assert stream.watchers == 0
