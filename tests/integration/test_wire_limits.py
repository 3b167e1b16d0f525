"""Each bound of a connection on raw sockets: sizes, counts, times, and the order of answers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from gateway.simulator import RunningSimulator
from tests.integration.gateways import Planes, gateway, until
from tests.support.raw_http import GOOD, asked, calling, is_well

LIMITS = {
    "limits__max_head": "4KiB",
    "limits__head_timeout": "1s",
    "limits__idle_timeout": "1s",
    "limits__write_timeout": "2s",
    "limits__max_connections": "20",
}
AUTH = b"Host: a\r\nAuthorization: Bearer demo-token\r\n"
LAST = GOOD[:-2] + b"Connection: close\r\n\r\n"
ORDER = b"POST /purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = ORDER + b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK"


@pytest.fixture
async def planes(upstream: RunningSimulator) -> AsyncIterator[Planes]:
    """Both planes, with bounds that a test can reach."""
    async with gateway(upstream.base_url, **LIMITS) as planes:
        yield planes


async def refused(planes: Planes, reason: str) -> float:
    """How many were turned away for that reason."""
    return await planes.metric(f'gateway_access_refused_total{{reason="{reason}"}}')


def get(path: str, *fields: bytes) -> bytes:
    """A request for a path."""
    return b"".join((b"GET ", path.encode(), b" HTTP/1.1\r\n", AUTH, *fields, b"\r\n"))


TOO_LARGE = {
    "one long field": [GOOD[:-2] + b"X: " + b"a" * 5_000 + b"\r\n\r\n"],
    "a long field in pieces": [GOOD[:-2] + b"X: ", *[b"a" * 500] * 10],
    "a head without an end": [GOOD[:-2], *[b"X: a\r\n"] * 2, b"X: " + b"a" * 5_000],
    "a long target": [b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"],
    "a target without an end": [b"GET /" + b"a" * 5_000],
    "too many fields": [GOOD[:-2] + b"X: a\r\n" * 100 + b"\r\n"],
}


async def test_a_large_head_is_refused(planes: Planes) -> None:
    """431 on both planes, also where it comes behind another request in the same bytes."""
    for name, (first, *rest) in TOO_LARGE.items():
        for url in (str(planes.data.base_url), str(planes.admin.base_url)):
            (alone,) = await asked(url, first, *rest)
            assert (alone.status, alone.word) == (431, "head-too-large"), name
            behind = await asked(url, GOOD + first, *rest)
            assert [each.status for each in behind] in ([200, 431], [200]), name
            assert await is_well(url), name
    assert await refused(planes, "head-too-large") == 4 * len(TOO_LARGE)


async def test_heads_within_the_bound_may_come_in_one_piece(planes: Planes) -> None:
    """The bound is one head's, not that of all that arrive together; nor is a body a head."""
    heads = GOOD[:-2] + b"X: " + b"a" * 3_900 + b"\r\n\r\n"
    body = b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1_000

    async with calling(str(planes.data.base_url)) as caller:
        await caller.send(heads * 10 + body + LAST[:9], LAST[9:], pause=0.3)
        answers = [await caller.told() for _ in range(12)]

    assert [answer.status for answer in answers] == [200] * 12


TOO_LONG = [
    ORDER + b"Content-Length: 262145\r\n\r\n",
    CHUNKED + b"40001\r\n" + b" " * 262_145,
    CHUNKED + b"1\r\n \r\n" * 262_145,
    CHUNKED + b"2;" + b"a" * 1_600_000,
    CHUNKED + b"2\r\n{}\r\n0\r\nX: " + b"a" * 1_600_000,
]


async def test_a_long_body_is_refused(planes: Planes) -> None:
    """413 before it has arrived; and it may be no longer for being all framing."""
    told = [await asked(str(planes.admin.base_url), raw) for raw in TOO_LONG]

    expected = [[(413, "too-large")]] * len(TOO_LONG)
    assert [[(each.status, each.word) for each in answers] for answers in told] == expected
    assert await refused(planes, "body-too-large") == len(TOO_LONG)
    assert await planes.metric("gateway_invalidations_total") == 0


async def test_callers_bodies_have_their_own_bound(planes: Planes) -> None:
    """`upstream.max_body`: nobody reads them, and the next request is none of it."""
    small = b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n" + b"G" * 1_048_576
    large = b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n"

    answers = await asked(str(planes.data.base_url), small + large)

    assert answers[0].status == 200
    assert [answer.status for answer in answers[1:]] in ([413], [])


@pytest.mark.parametrize("drip", [[GOOD[:-2], *[b"X", b"x"] * 10], [GOOD, GOOD[:-4], *[b"0"] * 20]])
async def test_a_slow_head_is_given_up(planes: Planes, drip: list[bytes]) -> None:
    """However lively it drips, as the first request or as a later one."""
    async with calling(str(planes.data.base_url)) as caller:
        if drip[0] == GOOD:
            await caller.send(drip.pop(0))
            assert (await caller.told()).status == 200
        _, answer = await asyncio.gather(caller.send(*drip, pause=0.1), caller.told())
        assert (answer.status, answer.word) == (408, "head-too-slow")
        assert await caller.is_closed()
    assert await refused(planes, "head-too-slow") == 1


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("noise", [[], [b"\r\n"] * 30])
async def test_who_asks_nothing_is_not_waited_for(
    planes: Planes, asks: bool, noise: list[bytes]
) -> None:
    """Nothing at all, nothing more, or empty lines: closed without a word."""
    async with calling(str(planes.data.base_url)) as caller:
        if asks:
            await caller.send(GOOD)
            assert (await caller.told()).status == 200
        _, closed = await asyncio.gather(caller.send(*noise, pause=0.1), caller.is_closed())
        assert closed


async def test_a_body_that_nobody_waits_for_does_not_hold_the_connection(planes: Planes) -> None:
    """The answer is out; what belongs to its request drips on."""
    async with calling(str(planes.data.base_url)) as caller:
        head = b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
        await caller.send(head)
        assert (await caller.told()).status == 200
        drip = caller.send(*[b"x"] * 30, pause=0.1)
        _, closed = await asyncio.gather(drip, caller.is_closed())
        assert closed


async def _deaf_caller(url: str) -> socket.socket:
    """A connection with little room for what it will not read."""
    where = urlsplit(url)
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    caller.setblocking(False)
    await asyncio.get_running_loop().sock_connect(caller, (str(where.hostname), where.port))
    return caller


async def test_a_reader_that_takes_nothing_is_cut_off(planes: Planes) -> None:
    """Its answers would be kept for ever; one that takes a little now and then gets them all."""
    url, loop = str(planes.admin.base_url), asyncio.get_running_loop()
    ask = get("/metrics").replace(b"Host: a", b"Host: localhost")
    deaf, slow = await _deaf_caller(url), await _deaf_caller(url)
    with deaf, slow:
        for caller in (deaf, slow):
            await loop.sock_sendall(caller, ask * 60)
        taken = bytearray()
        async with asyncio.timeout(30):
            while taken.count(OK) < 40:  # 64 at most may wait for the answer to one before them
                taken += await loop.sock_recv(slow, 1 << 16)
        for caller in (deaf, slow):
            await loop.sock_sendall(caller, ask * 20 + LAST)
        async with asyncio.timeout(30):
            while await refused(planes, "reader-too-slow") < 1:
                taken += await loop.sock_recv(slow, 4_096)
                await asyncio.sleep(0.05)
            while more := await loop.sock_recv(slow, 1 << 20):
                taken += more
    assert taken.count(OK) == 81
    assert taken.endswith(b"ok\n")
    assert await refused(planes, "reader-too-slow") == 1


async def test_there_is_room_for_so_many_connections(planes: Planes) -> None:
    """Beyond: 503 and when to come back; far beyond: closed; and room again for who comes then."""
    url = str(planes.data.base_url)
    held = [calling(url) for _ in range(20)]
    callers = [await (await each.__aenter__()).send(GOOD) for each in held]
    assert [(await caller.told()).status for caller in callers] == [200] * 20

    async with calling(url) as first, calling(url) as second, calling(url) as third:
        for beyond in (first, second):
            answer = await beyond.told()
            assert (answer.status, answer.word) == (503, "too-many-connections")
            assert answer.fields["retry-after"] == "1"
        assert await third.answer() is None
    assert await refused(planes, "too-many-connections") == 3

    for each in held:
        await each.__aexit__(None, None, None)

    async def room() -> bool:
        return await is_well(url)

    await until(room)


async def test_pipelined_requests_are_answered_in_order(planes: Planes) -> None:
    """Cold and warm mixed, in one piece and in the smallest ones."""
    url = str(planes.data.base_url)
    ids = [f"trn_{number:06}" for number in (1, 2, 1, 3, 2, 1)] * 5
    asks = b"".join(get(f"/training/{each}") for each in ids) + LAST

    together = await asked(url, asks)
    pieces = await asked(url, *[asks[at : at + 7] for at in range(0, len(asks), 7)])

    for answers in (together, pieces):
        assert [json.loads(answer.body)["id"] for answer in answers[:-1]] == ids
        assert answers[-1].body == b"ok\n"


async def test_a_refusal_does_not_overtake_an_answer(planes: Planes) -> None:
    """What is malformed behind a request that is still being answered ends the connection."""
    bad = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"

    answers = await asked(str(planes.data.base_url), get("/training/trn_000009") + bad + LAST)

    assert [answer.status for answer in answers] == [200]
    assert answers[0].fields["connection"] == "close"


async def test_no_more_wait_in_line_than_is_sensible(planes: Planes) -> None:
    """A line of thousands on one connection is cut; who stood in it properly is answered."""
    answers = await asked(str(planes.data.base_url), GOOD * 1_000)

    assert 1 <= len(answers) <= 65
    assert {answer.status for answer in answers} == {200}
