"""What is deleted in the API and read by nobody is not fresh beyond the stated bound."""

from __future__ import annotations

from pathlib import Path

from tests.support.servers import RedisServer
from tests.system.deleting import deleted_unread, swept


def test_a_deleted_training_is_not_fresh_beyond_the_bound(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    """Two replicas, five trainings at once, and a single call for one of them in each sweep."""
    with swept(tmp_path, own_redis) as found:
        assert deleted_unread(found, 5) == []
