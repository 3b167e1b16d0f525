"""Callers that ask for trainings that do not exist: guessing ids must cost the others nothing.

Bounded; forgetting a caller costs a few calls, nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from gateway.core.budget.rates import OwnRates, Rate
from gateway.ports import Clock

# The misses of a caller that are remembered, and for how many windows of its budget.
_REMEMBERED: Final = 20
_WINDOWS: Final = 10
# So many of them in vain, and at least half, make a guesser.
_IN_VAIN: Final = 3
# Of a limit so many under way at once, ten at least, make one as well.
_UNDER_WAY: Final = 4
_FEW: Final = 10
_MOST: Final = 10_000


@dataclass(slots=True)
class _Record:
    """When this caller's last misses ended, and which were in vain; how many are under way."""

    ended: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    under_way: int = 0


class Guesses:
    """The misses of each caller; `usual` and `rates` say what the budgets are (None: no limit)."""

    def __init__(self, clock: Clock, usual: Rate | None, rates: OwnRates) -> None:
        self._clock = clock
        self._usual = usual
        self._rates = rates
        self._records: dict[str, _Record] = {}

    def is_guesser(self, who: str, scope: str) -> bool:
        """Whether the next miss of this caller is probably for nothing, or one of very many."""
        rate, record = self._rates.of(scope, self._usual), self._records.get(who)
        if rate is None or record is None:
            return False
        since = self._clock.monotonic() - _WINDOWS * rate.window
        while record.ended and record.ended[0][0] <= since:
            record.ended.popleft()
        in_vain = sum(each for _, each in record.ended)
        is_guessing = in_vain >= _IN_VAIN and 2 * in_vain >= len(record.ended)
        return is_guessing or record.under_way >= max(_FEW, rate.limit // _UNDER_WAY)

    @contextmanager
    def asking(self, who: str) -> Iterator[None]:
        """A miss of this caller is under way inside."""
        record = self._records.pop(who, None) or _Record()
        self._records[who] = record  # the latest one
        if len(self._records) > _MOST:
            del self._records[next(iter(self._records))]
        record.under_way += 1
        try:
            yield
        finally:
            record.under_way -= 1

    def ended(self, who: str, *, in_vain: bool) -> None:
        """The upstream answered a miss: it has that training, or not."""
        record = self._records.get(who)
        if record is not None:
            record.ended.append((self._clock.monotonic(), in_vain))
