"""MemoryStore: what an entry is said to cost, and who is told of evictions."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.adapters.memory import MemoryStore, cost
from gateway.core.entry import Key
from gateway.core.headers import etag_of, stored_fields
from gateway.ports import Held
from tests.doubles.stored import entry_of, held_of

# Fills a store in a process of its own, as a fetch or a look-up would: every entry with bytes
# and text of its own, the names in the head shared. Prints the account and the real growth.
GROWTH = """
import gc, resource, sys
from gateway.adapters.memory import MemoryStore
from gateway.core.entry import Key, Ticket
from gateway.core.instant import Instant
from tests.doubles.stored import entry_of, held_of

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

def fetched(number, size):
    key = Key(f"{number % 7:032x}", f"trn_{number:020d}")
    fields = tuple((b"x-header-%d" % n, b"value %d of %d" % (n, number)) for n in range(8))
    ticket = Ticket(f"{number:016x}", number + 1000, 1_700_000_000.0 + number)
    body = b'"' + b"%020d" % number * (size // 20) + b'"'
    return key, held_of(entry_of(ticket, Instant(10**18 + number), body, fields), float(number))

size, count = int(sys.argv[1]), int(sys.argv[2])
warm = MemoryStore(10**9, lambda: None)  # takes what the interpreter had freed and kept
for number in range(count // 4):
    warm.put(*fetched(number, size))
store = MemoryStore(10**9, lambda: None)
gc.collect()
before = resident()
for number in range(count):
    store.put(*fetched(number, size))
gc.collect()
print(store.size, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("size", "count"), [(200, 20_000), (1_600, 15_000), (20_000, 3_000)])
def test_the_account_is_true(size: int, count: int) -> None:
    """Within a tenth of the process's growth, for small, usual and large bodies."""
    arguments = [sys.executable, "-c", GROWTH, str(size), str(count)]

    printed = subprocess.run(arguments, check=True, capture_output=True, timeout=50).stdout

    account, growth = map(int, printed.split())
    assert 0.9 < growth / account < 1.1


@pytest.mark.parametrize("size", [4_000, 40_000])
def test_an_entry_costs_little_more_than_its_body(size: int) -> None:
    """Half as much again and one KiB at most, from 4 KB on, under the head really rendered."""
    fields = tuple((b"x-header-%d" % n, b"some value %d" % n) for n in range(3))
    entry = entry_of(body=b"x" * size, headers=fields)
    held = Held(entry, stored_fields(entry, vary=True), etag_of(entry), 0.0)

    assert cost(Key("0" * 32, "trn_0123456789"), held) <= 1.5 * size + 1024


def test_shared_bytes_are_counted_once() -> None:
    """The head repeats values of the headers without another copy."""
    header = (b"x", b"v" * 10_000)
    held = held_of(entry_of(body=b"", headers=(header,)))

    assert held.head[0][1] is header[1]
    assert cost(Key("p", "t"), held) < 15_000


def test_an_eviction_is_told() -> None:
    """Once for each entry that goes for space, and for nothing else."""
    evicted = []
    store = MemoryStore(20_000, lambda: evicted.append(1))
    for number in range(20):
        store.put(Key("p", f"trn_{number}"), held_of(entry_of()))
    assert len(evicted) == 20 - store.entries

    evicted.clear()
    store.put(Key("p", "trn_19"), held_of(entry_of()))
    store.drop(Key("p", "trn_19"))
    for key in list(store.keys()):
        store.drop(key)

    assert evicted == []
