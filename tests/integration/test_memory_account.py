"""L1's account of its bytes against the size of a real process."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Fills a store in a process of its own, as a fetch or a look-up would: every entry with bytes
# and text of its own, the names in the head shared. Prints the account and the real growth.
GROWTH = """
import gc, resource, sys
from gateway.adapters.memory import MemoryStore
from gateway.core.entry import Key, Ticket
from gateway.core.headers import shared
from gateway.core.instant import Instant
from tests.doubles.stored import entry_of, held_of

PARTITIONS = [f"{n:032x}" for n in range(7)]

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

def fetched(number, size):
    key = Key(PARTITIONS[number % 7], f"trn_{number:020d}")
    fields = shared(tuple((b"x-header-%d" % n, b"value %d of %d" % (n, number)) for n in range(8)))
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

    printed = subprocess.run(arguments, check=True, capture_output=True, timeout=100).stdout

    account, growth = map(int, printed.split())
    assert 0.9 < growth / account < 1.1
