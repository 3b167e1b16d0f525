"""Twenty rounds of starts on a busy machine."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.rounds.replica_starts import start_rounds

_logger = logging.getLogger(__name__)


@pytest.mark.timeout(3_600)
async def test_twenty_rounds_of_starts(tmp_path: Path, redis_url: str) -> None:
    """In eighty starts Redis is never away; one call for each cold id, which the fourth finds."""
    rounds = await start_rounds(tmp_path, redis_url, rounds=20)
    _logger.info("%s", rounds)

    assert [each for each in rounds if not each.is_sound] == []
