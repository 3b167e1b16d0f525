"""A replica that was stopped goes on: it knows that it missed something."""

from __future__ import annotations

from pathlib import Path

from tests.system.stopping import stop_and_go_on


async def test_it_answers_with_nothing_older(tmp_path: Path, redis_url: str) -> None:
    """On connections kept over the stop; and the order said that it had not confirmed."""
    assert await stop_and_go_on(tmp_path, redis_url, rounds=1) == []
