"""Answers that the store refused for their version: what the upstream said a moment ago.

Lives here: which of them may be given again instead of another call. They are neither stored nor
a rescue. Bounded in bytes and time; forgetting one costs a call, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.core.cache.entry import Floor, Key
from gateway.ports import Clock, Held

# Seconds for which such an answer may be given again, at most.
_LONGEST: Final = 10.0
_MOST_BYTES: Final = 4 * 1024 * 1024
# Of each one beside its body and its head.
_OVERHEAD: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Refused:
    """An answer, the floor that refused it, and until when (monotonic) it may be given again."""

    held: Held
    floor: Floor | None
    until: float

    @property
    def size(self) -> int:
        return _OVERHEAD + len(self.held.body) + len(self.held.head)


class RefusedVersions:
    """The last one of each key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused: dict[Key, _Refused] = {}  # the oldest first
        self._size = 0

    def note(self, key: Key, held: Held, floor: Floor | None) -> None:
        """The upstream said this, and that floor refused it."""
        self.forget(key)
        now = self._clock.monotonic()
        refused = _Refused(held, floor, now + _LONGEST)
        self._refused[key] = refused
        self._size += refused.size
        while self._refused:
            oldest = next(iter(self._refused))
            if self._size <= _MOST_BYTES and self._refused[oldest].until > now:
                break
            self.forget(oldest)

    def judge(self, key: Key, floor: Floor | None) -> None:
        """Forget what was refused under another floor than the one that stands now (None: not
        known): something was learnt or ordered since."""
        refused = self._refused.get(key)
        if refused is not None and not _is_same(refused.floor, floor):
            self.forget(key)

    def of(self, key: Key) -> Held | None:
        """What may be given again."""
        refused = self._refused.get(key)
        if refused is None or refused.until <= self._clock.monotonic():
            return None
        return refused.held

    def forget(self, key: Key) -> None:
        """Give it no more."""
        refused = self._refused.pop(key, None)
        if refused is not None:
            self._size -= refused.size

    def forget_where(self, matches: Callable[[Key], bool]) -> None:
        """The same of each key that matches."""
        for key in [key for key in self._refused if matches(key)]:
            self.forget(key)


def _is_same(before: Floor | None, now: Floor | None) -> bool:
    """Whether it is the same life, generation, version and body that is known."""
    if before is None or now is None:
        return False
    return _known(before) == _known(now)


def _known(floor: Floor) -> tuple[object, ...]:
    return floor.epoch, floor.generation, floor.updated_at, floor.digest
