"""Deadline: what counts as time of the other side, and what is our own stall."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
import uvloop

from gateway.ports.deadline import Deadline
from tests.doubles.loop_time import pass_time, stall

# The real time passes beside the one that the tests move.
LONG = 100.0
STEPS = round(LONG / 0.1)


@pytest.fixture(name="ends")
def ends_of_a_connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours, and the other side's."""
    ours, others = socket.socketpair()
    ours.setblocking(False)
    with ours, others:
        yield ours, others


async def read(ours: socket.socket) -> bytes:
    """What came, through a task that hands it on, as a shared fetch does."""
    receiving = asyncio.get_running_loop().sock_recv(ours, 100)
    return await asyncio.shield(asyncio.ensure_future(receiving))


async def silence(seconds: float) -> None:
    """Wait so long for somebody who says nothing."""
    async with Deadline(seconds):
        await asyncio.get_running_loop().create_future()


async def test_an_answer_that_lies_in_the_socket_after_a_stall_is_read(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """The timer fired ten deadlines late, and says nothing about the other side."""
    ours, others = ends

    async with Deadline(LONG):
        reading = asyncio.ensure_future(read(ours))
        await asyncio.sleep(0)
        others.send(b"answer")
        stall(10 * LONG)
        assert await reading == b"answer"


async def test_an_answer_that_comes_with_the_last_step_is_read(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """Before the deadline is believed, the loop looks at its sockets once more."""
    ours, others = ends

    async with Deadline(0.001):  # one step
        others.send(b"answer")
        stall(1.0)
        assert await read(ours) == b"answer"


@pytest.mark.parametrize("seconds", [0.0, LONG])
async def test_who_is_silent_is_late_at_the_deadline(seconds: float) -> None:
    """Neither before nor long after. After a stall, the other side has the rest of its time, all
    but one step of it."""
    waiting = asyncio.ensure_future(silence(LONG))
    await asyncio.sleep(0)
    stall(seconds)
    await asyncio.sleep(0)

    await pass_time(LONG - 1.0)
    assert not waiting.done()
    await pass_time(2.0)

    assert isinstance(waiting.exception(), TimeoutError)


async def test_stalls_without_end_do_not_postpone_it_for_ever() -> None:
    """Each step is late once at most."""
    waiting = asyncio.ensure_future(silence(LONG))
    stalls = 0

    while not waiting.done():
        stall(10.0)
        stalls += 1
        await asyncio.sleep(0)

    assert isinstance(waiting.exception(), TimeoutError)
    assert STEPS <= stalls < 3 * STEPS


async def test_without_time_it_is_late_at_the_first_wait() -> None:
    """What is at hand is taken all the same."""
    async with Deadline(0.0):
        await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        await silence(-1.0)


async def test_a_cancellation_from_outside_stays_one() -> None:
    """It is neither swallowed nor taken for the deadline, also where both come at once."""

    for seconds in (LONG, 0.0):
        waiting = asyncio.ensure_future(silence(seconds))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_an_error_inside_passes_and_nothing_is_left_behind() -> None:
    """No timer of it cancels what comes later."""
    with pytest.raises(LookupError):
        async with Deadline(0.5):
            raise LookupError

    await pass_time(1.0)


def test_on_the_loop_of_production_a_stall_is_no_fault_of_the_other_side() -> None:
    """uvloop runs its timers before it reads its sockets."""

    async def ask(ours: socket.socket, others: socket.socket) -> bytes:
        async with Deadline(0.05):
            reading = asyncio.ensure_future(read(ours))
            await asyncio.sleep(0)
            others.send(b"answer")
            time.sleep(0.3)  # noqa: ASYNC251 - the stall
            return await reading

    ours, others = socket.socketpair()
    ours.setblocking(False)
    with ours, others, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask(ours, others)) == b"answer"


def test_on_the_loop_of_production_silence_is_late() -> None:
    """After the seconds that were asked for, none of which was lost."""

    async def ask() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await silence(0.05)
        return time.monotonic() - began

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) >= 0.045
