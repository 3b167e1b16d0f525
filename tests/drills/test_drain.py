"""Ten drains of ten under callers that keep their connections, each kind of them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.rounds.kept_connections import Tally
from tests.system.draining import drain, drain_tls
from tests.system.test_drain import judge

_logger = logging.getLogger(__name__)
RUNS = range(1, 11)


def note(run: int, tallies: dict[str, Tally]) -> None:
    """What was counted, with `pytest --log-level info`."""
    for kind, tally in tallies.items():
        told = f"{tally.answered} answered, {tally.told} told of the end, {len(tally.lost)} lost"
        _logger.info("run %d, %s: %s", run, kind, told)


@pytest.mark.parametrize("run", RUNS)
async def test_nothing_is_lost(tmp_path: Path, run: int) -> None:
    """With a delay of two seconds."""
    note(run, tallies := await drain(tmp_path))
    judge(tallies)


@pytest.mark.parametrize("run", RUNS)
async def test_nothing_is_lost_without_a_delay(tmp_path: Path, run: int) -> None:
    """The port is closed at once."""
    note(run, tallies := await drain(tmp_path, delay="0s"))
    judge(tallies)


@pytest.mark.parametrize("run", RUNS)
async def test_nothing_is_lost_through_tls(tmp_path: Path, run: int) -> None:
    """With a delay of two seconds."""
    note(run, tallies := await drain_tls(tmp_path))
    judge(tallies)
