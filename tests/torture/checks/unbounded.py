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
            "for i in $(seq 4000); do curl -so /dev/null -H 'Authorization: Bearer alice-token' "
            "$URL/training/guess_$i; done",
        ),
        Setting(),
        _guessing,
        is_long=True,
    ),
)
