"""What an entry costs in L1, as seen in the size of a process: filled directly, not by requests.

`python -m tests.bench.memory BODY COUNT` prints bytes an entry, the store's own account of it, and
how long the collector of cycles takes.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.entry_headers import head_of
from gateway.core.cache.marks import Ticket, Words
from gateway.core.http.fields import shared
from gateway.core.instant import Instant, parse_instant
from gateway.core.upstream.training import digest
from gateway.flow.cache.local_store import LocalStore
from gateway.ports import Held

_SHARED = Words("0" * 16, "1" * 16, "2" * 16)  # of the marks that all entries have in common
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PARTITION = "p" * 32
_NOW = 1_700_000_000.0
_UPDATED_AT = "2026-11-24T12:00:00.000Z"


def measure(body_size: int, count: int) -> tuple[float, float, float]:
    """Bytes an entry of the process's growth, and of the store's account; milliseconds that the
    collector stops everything for, with all of them there."""
    store = LocalStore(1 << 40, lambda: None)
    gc.collect()
    gc.freeze()  # as the gateway does once it has started
    for n in range(count // 10):  # what a process pays once is no entry's
        put(store, _PARTITION, n, body_size, _NOW)
    gc.collect()
    first, before, accounted = store.entries, _resident(), store.size
    for n in range(count // 10, count):
        put(store, _PARTITION, n, body_size, _NOW)
    began = time.perf_counter()
    gc.collect()
    stopped = time.perf_counter() - began
    added = store.entries - first
    seen, said = (_resident() - before) / added, (store.size - accounted) / added
    return seen, said, stopped * 1_000


def put(store: LocalStore, partition: str, number: int, body_size: int, now: float) -> None:
    """As from Redis: every object its own, but what `shared` shares and the partition."""
    body = f'{{"n":{number},"content":"'.encode().ljust(body_size - 2, b"x") + b'"}'
    entry = Entry(
        status=200,
        headers=shared(
            (
                (b"content-type", b"application/json; charset=utf-8"),
                (b"cf-ray", b"%d" % number),
            )
        ),
        body=body,
        updated_at=Instant(parse_instant(_UPDATED_AT) + number),
        updated_at_text=_own(_UPDATED_AT),
        digest=digest(body),
        date=_own("Tue, 24 Nov 2026 12:00:00 GMT"),
        confirmed_at=now - number % 997 / 1_000,
        initial_age=0.0,
        freshness_lifetime=36_000.0 + number % 991 / 1_000,
        started=now - number % 997 / 1_000,
        ticket=Ticket(_SHARED, _SHARED, Words(*(f"{number * 3 + n:016x}" for n in range(3)))),
    )
    held = Held(entry, *head_of(entry, vary=True), float(number % 997))
    store.put(Key(partition, f"trn_{number:06d}"), held)


def _own(text: str) -> str:
    """The same text as an object of its own."""
    return text.encode().decode()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


if __name__ == "__main__":
    print(*measure(int(sys.argv[1]), int(sys.argv[2])))  # noqa: T201
