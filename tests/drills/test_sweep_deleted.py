"""Many trainings are deleted in the API at once. Callers read half of them all the time."""

from __future__ import annotations

from pathlib import Path

from tests.support.servers import RedisServer
from tests.system.deleting import fresh_after_the_bound, swept


def test_forty_of_forty_are_not_fresh_beyond_the_bound(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    """Far more than the sweep has single calls for."""
    with swept(tmp_path, [own_redis.url] * 2) as found:
        assert fresh_after_the_bound(found, 20) == []
