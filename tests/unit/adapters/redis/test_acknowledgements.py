"""answers: which replicas are waited for, for how long, and which count."""

from __future__ import annotations

import asyncio

from gateway.adapters.redis.bus import Requests
from gateway.adapters.redis.messages import Acknowledgement

BOTH = frozenset({"b", "c"})


async def test_all_have_answered_before_they_are_asked_for() -> None:
    """Then nobody is waited for."""
    requests = Requests()
    with requests.open() as request:
        for sender in BOTH:
            requests.take(Acknowledgement(sender, request.number))

        assert await request.answered_by(BOTH, 60.0) == BOTH


async def test_the_last_answer_ends_the_waiting() -> None:
    """Not the first, nor the same one again."""
    requests = Requests()
    with requests.open() as request:
        waiting = asyncio.create_task(request.answered_by(BOTH, 60.0))
        for sender in ("b", "b"):
            requests.take(Acknowledgement(sender, request.number))
            for _ in range(3):
                await asyncio.sleep(0)
            assert not waiting.done()

        requests.take(Acknowledgement("c", request.number))

        assert await waiting == BOTH


async def test_patience_ends_the_waiting() -> None:
    """Those count who have answered."""
    requests = Requests()
    with requests.open() as request:
        requests.take(Acknowledgement("b", request.number))

        assert await request.answered_by(BOTH, 0.0) == {"b"}


async def test_strangers_do_not_count() -> None:
    """Answers to another request, or to one that is over; one that was not asked is told apart."""
    requests = Requests()
    with requests.open() as earlier:
        pass
    with requests.open() as request, requests.open() as other:
        for number in (earlier.number, other.number, 77):
            requests.take(Acknowledgement("b", number))
        requests.take(Acknowledgement("stranger", request.number))

        assert await request.answered_by(BOTH, 0.0) == {"stranger"}
