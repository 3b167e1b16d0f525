"""answers: which replicas are waited for, for how long, and which count."""

from __future__ import annotations

import asyncio

from gateway.adapters.redis.bus import Answers

BOTH = frozenset({"b", "c"})


async def test_all_have_answered_before_they_are_asked_for() -> None:
    """Then nobody is waited for."""
    answers = Answers()
    for sender in BOTH:
        answers.take(sender)

    assert await answers.of(BOTH, 60.0) == BOTH


async def test_the_last_answer_ends_the_waiting() -> None:
    """Not the first, nor the same one again."""
    answers = Answers()
    waiting = asyncio.create_task(answers.of(BOTH, 60.0))
    for sender in ("b", "b"):
        answers.take(sender)
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()

    answers.take("c")

    assert await waiting == BOTH


async def test_patience_ends_the_waiting() -> None:
    """Those count who have answered."""
    answers = Answers()
    answers.take("b")

    assert await answers.of(BOTH, 0.0) == {"b"}
