"""Where a budget stands in Redis, and how its portions are told to a script."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from gateway.adapters.redis.layout.keys import Names
from gateway.core.budget.priority import RANKS, portions


class AccountNames:
    """The keys of each scope's budget, all in one slot."""

    def __init__(self, prefix: str) -> None:
        """Raises ValueError for a prefix that is none."""
        self._prefix = Names(prefix).prefix

    def log(self, scope: str) -> str:
        """The times of all calls."""
        return f"{self._prefix}:{{{quote(scope, safe='')}}}:w"

    def all(self, scope: str) -> tuple[str, ...]:
        """Log, gate, book and the log of each rank."""
        return (self.log(scope), self.gate(scope), self.book(scope), *self.ranks(scope))

    def gate(self, scope: str) -> str:
        """What a 429 left."""
        return f"{self._prefix}:{{{quote(scope, safe='')}}}:g"

    def book(self, scope: str) -> str:
        """Which ranks were refused, and what was learnt of the limit."""
        return f"{self._prefix}:{{{quote(scope, safe='')}}}:b"

    def ranks(self, scope: str) -> tuple[str, ...]:
        """The times of each rank's calls."""
        return tuple(f"{self.log(scope)}:{rank}" for rank in RANKS)


def numbers(limit: int | None, sweep_share: float) -> tuple[int, ...]:
    """Floor, ceiling and whether it is always kept, of each rank in order; noughts for None."""
    if limit is None:
        return (0, 0, 0) * len(RANKS)
    of = portions(limit, sweep_share)
    return tuple(
        number
        for rank in RANKS
        for number in (of[rank].floor, of[rank].ceiling, int(of[rank].always))
    )


@dataclass(frozen=True, slots=True)
class BudgetReply:
    """What a reply said: `closed_until` on the monotonic clock, `stamp` on Redis' own."""

    word: str
    wait: float
    available: int
    closed_until: float
    stamp: int = 0
    is_probed: bool = False
    limit: int = 0


def micros(seconds: float) -> int:
    """Whole microseconds, as scripts have them."""
    return round(seconds * 1_000_000)


def seconds(micros: bytes) -> float:
    """What a script says in microseconds."""
    return int(micros) / 1_000_000
