"""A hung Redis comes back while much is stale, in short: what is counted, not how fast it is."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.servers import KNOWN, RedisServer, wait_until
from tests.system.returning import BOUND, stand

STALE = "stale-refreshing"


def test_what_is_stale_is_refreshed_a_few_at_a_time(tmp_path: Path, own_redis: RedisServer) -> None:
    """Nobody waits for it, nobody who waits is held back by it, and Redis stays there."""
    with stand(tmp_path, own_redis, 40, "2s") as made:
        time.sleep(KNOWN)
        assert {status for status, _ in made.statuses(made.ids)} == {200}
        made.most_in_flight()
        with made.hung():
            wait_until(lambda: not made.sees_redis(), 30, "Redis is missed")
            wait_until(lambda: made.statuses(made.ids[:1]) == [(200, STALE)], 30, "it is stale")
            wait_until(lambda: {*made.statuses(made.ids)} == {(200, STALE)}, 30, "all are stale")
            assert made.most_in_flight() == BOUND
            # One more than the bound: a caller that waits for an answer is none of those.
            assert made.statuses(["trn_000900"]) == [(200, "200; stored")]
            assert made.most_in_flight() == BOUND + 1
            away = made.times_away()
        wait_until(made.sees_redis, 30, "Redis is back")
        assert {status for status, _ in made.statuses(made.ids)} == {200}
        refreshed = made.figure('gateway_upstream_requests_total{purpose="refresh"')
        wait_until(
            lambda: (
                bool(made.statuses(made.ids))
                and made.figure('gateway_upstream_requests_total{purpose="refresh"')
                >= refreshed + 40
            ),
            60,
            "all are refreshed",
        )

        assert made.most_in_flight() <= BOUND
        assert made.times_away() == away
