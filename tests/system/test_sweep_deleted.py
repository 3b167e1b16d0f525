"""What is deleted in the API, read or not, is not fresh beyond the stated bound."""

from __future__ import annotations

from pathlib import Path

from tests.support.servers import RedisServer
from tests.system.deleting import fresh_after_the_bound, swept


def test_a_deleted_training_is_not_fresh_beyond_the_bound(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    """Two replicas, and ten trainings at once, of which callers read five all the time."""
    with swept(tmp_path, [own_redis.url] * 2) as found:
        assert fresh_after_the_bound(found, 5) == []
