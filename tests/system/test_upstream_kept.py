"""An upstream that closes idle connections as the gateway sends: no caller notices."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.cheap_connection import Line
from tests.system.commands import CALLER, Gateway, address, get, simulator

KEPT = 0.003  # seconds
CALLERS = 4
# Requests at once, and how many at most till a connection was closed as one was sent.
BATCH, MOST = 300, 6_000
_GET = "GET /training/trn_{:06} HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n"


def total(gateway: Gateway, sample: str) -> int:
    """The sum of the samples that begin so."""
    metrics = get(f"{gateway.admin}/metrics").text
    found = re.findall(rf"^{re.escape(sample)}\S* (\S+)$", metrics, re.MULTILINE)
    return round(sum(map(float, found)))


async def ask(gateway: Gateway, numbers: Iterator[int], pauses: random.Random) -> list[int]:
    """What one caller is answered, who asks for one training after the other."""
    line, statuses = await Line.to(gateway.data), []
    for number in numbers:
        request = _GET.format(number, CALLER["Authorization"]).encode()
        statuses.append((await line.ask(request)).status)
        await asyncio.sleep(pauses.uniform(0.0, 3 * KEPT))
    line.close()
    return statuses


async def test_a_connection_that_is_closed_as_we_send_costs_a_retry(tmp_path: Path) -> None:
    """Each read is answered, nothing counts as a failure, and every call is counted."""
    pauses, numbers, statuses = random.Random(7), itertools.count(1), list[int]()
    retry = 'gateway_upstream_requests_total{purpose="retry"'
    options = ("--limit", "0", "--trainings", str(MOST), "--keep-alive", str(KEPT))
    settings = {"GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited", "GATEWAY_SWEEP__ENABLED": "false"}
    with simulator(tmp_path, *options) as upstream:
        gateway = Gateway(tmp_path, address(upstream), **settings)
        with gateway.process:
            while len(statuses) < MOST and not total(gateway, retry):
                batch = itertools.islice(numbers, BATCH)
                asking = [ask(gateway, batch, pauses) for _ in range(CALLERS)]
                statuses += itertools.chain(*await asyncio.gather(*asking))
            retried = total(gateway, retry)
            called = total(gateway, "gateway_upstream_requests_total{")
            failed = total(gateway, "gateway_upstream_failures_total{")

    assert set(statuses) == {200}
    assert retried > 0, "no connection was closed as the gateway sent"
    assert (called, failed) == (len(statuses) + retried, 0)
