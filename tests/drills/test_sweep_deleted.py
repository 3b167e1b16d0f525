"""Many trainings are deleted in the API at once, and nobody reads them."""

from __future__ import annotations

from pathlib import Path

from tests.support.servers import RedisServer
from tests.system.deleting import deleted_unread, swept


def test_twenty_of_twenty_are_not_fresh_beyond_the_bound(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    """Far more than the sweep has single calls for."""
    with swept(tmp_path, own_redis) as found:
        assert deleted_unread(found, 20) == []
