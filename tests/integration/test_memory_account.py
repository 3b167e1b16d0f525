"""What a real process holds: the account of L1, and tables that have a bound."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Fills a store in a process of its own, as a fetch or a look-up would: every entry with bytes
# and text of its own, the names in the head shared. Prints the account and the real growth.
GROWTH = """
import gc, resource, sys
from gateway.flow.cache.local_store import LocalStore
from gateway.core.cache.entry import FetchStart, Key
from gateway.core.cache.marks import Words
from gateway.core.http.fields import shared
from gateway.core.instant import Instant
from tests.doubles.stored import WORDS, entry_of, held_of

PARTITIONS = [f"{n:032x}" for n in range(7)]

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()

def fetched(number, size):
    key = Key(PARTITIONS[number % 7], f"trn_{number:020d}")
    fields = shared(tuple((b"x-header-%d" % n, b"value %d of %d" % (n, number)) for n in range(8)))
    ticket = WORDS._replace(training=Words(*(f"{3 * number + n:016x}" for n in range(3))))
    start = FetchStart(1_700_000_000.0 + number, ticket)
    body = b'"' + b"%020d" % number * (size // 20) + b'"'
    return key, held_of(entry_of(start, Instant(10**18 + number), body, fields), float(number))

size, count = int(sys.argv[1]), int(sys.argv[2])
warm = LocalStore(10**9, lambda: None)  # takes what the interpreter had freed and kept
for number in range(count // 4):
    warm.put(*fetched(number, size))
store = LocalStore(10**9, lambda: None)
gc.collect()
before = resident()
for number in range(count):
    store.put(*fetched(number, size))
gc.collect()
print(store.size, resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("size", "count"), [(200, 20_000), (20_000, 3_000)])
def test_the_account_is_true(size: int, count: int) -> None:
    """Within a tenth of the process's growth, for small and large bodies."""
    arguments = [sys.executable, "-c", GROWTH, str(size), str(count)]

    printed = subprocess.run(arguments, check=True, capture_output=True, timeout=100).stdout

    account, growth = map(int, printed.split())
    assert 0.9 < growth / account < 1.1


# Takes so many callers, each with a token of its own, past all that remembers callers and keys,
# as misses would. Prints how large the largest tables of the process are then.
TABLES = """
import asyncio, gc, sys, time
from collections import deque
from gateway.app.compose import compose
from gateway.core.cache.entry import Key
from gateway.flow.singleflight import Course
from gateway.settings import load
from gateway.web.wire.request_head import PlainHead
from gateway.web.wire.head_cache import Blocks
from tests.doubles.stored import entry_of

ENVIRONMENT = {
    "GATEWAY_UPSTREAM__BASE_URL": "http://127.0.0.1:9",
    "GATEWAY_UPSTREAM__RATE_SCOPE": "credential",
    "GATEWAY_L1__MAX_BYTES": "4MiB",
}

async def pass_by(house, blocks, number):
    sent = b"Bearer sk-live-%030d" % number
    admitted = house.admission.callers.admit((sent,))
    key, fields = Key(admitted.partition, "trn_1"), [(b"authorization", sent)]
    block = b" HTTP/1.1\\r\\nauthorization: %b\\r\\n\\r\\n" % sent
    for _ in "ab":
        blocks.meet(block, PlainHead(dict(fields), None), fields)
    house.serving.filler._fetcher._credentials.judged(admitted.caller, 200, time.monotonic())
    house.gateway.grants.take(key, admitted.caller)
    house.gateway._versions._share.take(admitted.caller)
    house.serving.filler.backoffs.failed(key, OSError("no connection"))
    tiers = house.serving._tiers
    entry = entry_of(await tiers.begin(key))
    await tiers.store(key, tiers.render(entry, time.monotonic()), Course())

async def main():
    house, blocks = compose(load(None, ENVIRONMENT)), Blocks(frozenset(), 16_384, 100)
    for number in range(int(sys.argv[1])):
        await pass_by(house, blocks, number)
    tables = (dict, set, list, deque)
    found = {id(each): each for each in gc.get_objects()}
    found |= {id(each): each for one in list(found.values()) for each in gc.get_referents(one)}
    held = [each for each in found.values() if isinstance(each, tables) and each is not found]
    print(*sorted(map(len, held))[-5:])

asyncio.run(main())
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tokens", [17_000])
def test_no_table_grows_with_the_number_of_tokens(tokens: int) -> None:
    """Each has a bound of its own, 16,384 at most."""
    arguments = [sys.executable, "-c", TABLES, str(tokens)]

    printed = subprocess.run(arguments, check=True, capture_output=True, timeout=500).stdout

    sizes = [int(each) for each in printed.splitlines()[-1].split()]
    assert 10_000 <= max(sizes) <= 16_384
