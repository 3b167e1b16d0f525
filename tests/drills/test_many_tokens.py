"""Half a million callers, each with a token of its own: memory is flat once all tables are full."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.system.commands import Gateway

_log = logging.getLogger(__name__)

TOKENS, STEP = 500_000, 25_000
# By then each table has come to its bound: the largest has 16,384 places.
FULL = 50_000
CONNECTIONS = 16
SETTINGS = {
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    "GATEWAY_L1__MAX_BYTES": "16MiB",
    "GATEWAY_LOG__LEVEL": "error",
}
BODY: dict[str, object] = {
    "title": "Refunds",
    "content": "Refund within 30 days. " * 20,
    "draft_title": None,
    "draft_content": None,
    "type": "BEHAVIORAL",
    "is_draft": False,
    "directory_id": None,
    "restricted_to_channels": [],
    "restricted_to_segments": [],
    "current_version": 1,
    "published_at": "2023-11-14T22:00:00Z",
    "created_at": "2023-11-01T00:00:00Z",
    "updated_at": "2023-11-14T22:00:00Z",
}


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An API that takes every token; the simulator's keys are listed one by one."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            training_id = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            body = json.dumps({"id": training_id, **BODY}).encode()
            fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            writer.write(b"HTTP/1.1 200 OK\r\n" + fields + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def ask(port: int, numbers: Sequence[int]) -> None:
    """One request for each token, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        path, token = b"/training/trn_%06d" % (number % 50), b"sk-live-%030d" % number
        fields = b"Host: gateway\r\nAuthorization: Bearer %b" % token
        writer.write(b"GET %b HTTP/1.1\r\n%b\r\n\r\n" % (path, fields))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()


def resident(pid: int) -> float:
    """MiB that the process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def resident_by_tokens(folder: Path, tokens: int, step: int) -> dict[int, float]:
    """How large the gateway was after so many tokens."""
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    port, found = server.sockets[0].getsockname()[1], {}
    house = Gateway(folder, f"http://127.0.0.1:{port}", **SETTINGS)
    async with server:
        await asyncio.to_thread(house.process.start)
        try:
            at = int(house.data.rpartition(":")[2])
            for first in range(0, tokens, step):
                some = [range(first + n, first + step, CONNECTIONS) for n in range(CONNECTIONS)]
                await asyncio.gather(*(ask(at, each) for each in some))
                found[first + step] = resident(house.process.pid)
                _log.warning("%d tokens: %.1f MiB", first + step, found[first + step])
        finally:
            await asyncio.to_thread(house.process.stop)
    return found


@pytest.mark.timeout(7_200)
async def test_memory_is_flat_with_any_number_of_tokens(tmp_path: Path) -> None:
    """L1 has 16 MiB; what else there is of each caller is bounded as well."""
    found = await resident_by_tokens(tmp_path, TOKENS, STEP)

    growth = max(found.values()) - found[FULL]
    _log.warning("growth behind %d tokens: %.1f MiB", FULL, growth)
    assert growth < 8.0
