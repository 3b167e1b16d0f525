"""A hung Redis comes back while a thousand trainings are stale, without a limit."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.servers import RedisServer
from tests.system.returning import BOUND, a_core_of_its_own, stand, storm


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.timeout(1800)
def test_hits_keep_their_pace(tmp_path: Path, own_redis: RedisServer) -> None:
    """In ten of ten storms each second has seven tenths of a quiet one's requests at least, and
    Redis is called away once in each: while it hangs."""
    with stand(tmp_path, own_redis, 1_000, "20s") as made, a_core_of_its_own(made):
        slowest = []
        for number in range(1, 11):
            parts = storm(made, quiet=8, hang=15, after=12)
            slowest.append(min(parts))
            told = " ".join(f"{part:.2f}" for part in parts)
            sys.stdout.write(f"{told}; away {made.times_away()} times\n")
            assert made.times_away() == number

        assert made.most_in_flight() <= BOUND + 64  # each connection may wait for a miss
        assert min(slowest) >= 0.7, slowest
