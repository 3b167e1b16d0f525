"""Memory, where a caller asks for ever new ids."""

from __future__ import annotations

import asyncio

from tests.torture.check import Check, Finding
from tests.torture.stand import Setting, Stand

IDS = 4_000
AT_ONCE = 40
MIB = 1024**2


async def _guessing(stand: Stand) -> list[Finding]:
    await _guess(stand, 0)
    before = stand.memory()
    await _guess(stand, 1)
    grown = (stand.memory() - before) / IDS
    return [
        Finding(
            "4,000 guessed ids, after 4,000 others: at most 4 KiB more for each",
            grown <= 4096,
            f"{max(0.0, grown) / 1024:.1f} KiB each",
        )
    ]


async def _guess(stand: Stand, series: int) -> None:
    for begin in range(0, IDS, AT_ONCE):
        numbers = range(begin, begin + AT_ONCE)
        await asyncio.gather(*(stand.get(f"guess_{series}_{n}") for n in numbers))


CHECKS = (
    Check(
        "memory: guessed ids",
        "what does not exist is remembered without a bound",
        (
            "see alice-token guess_0_{1..4000} | cut -c1-5 | sort | uniq -c",
            "ps -o rss=,args= --pid $NODE --ppid $NODE  # KiB",
            "see alice-token guess_1_{1..4000} | cut -c1-5 | sort | uniq -c",
            "ps -o rss=,args= --pid $NODE --ppid $NODE",
        ),
        Setting(),
        _guessing,
        is_long=True,
    ),
)
