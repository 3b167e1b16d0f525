"""While the shared budget is away: each replica its share, and everything told on its return.

Lives here: what is remembered of the shared budget so that a share can be made of it, and it be
told of what it has lost, and the calls that were paid from a share. When and by whom a call is
paid is paying's business.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from gateway.core.errors import RedisUnavailable
from gateway.ports import Budget, Charge, Clock, OwnBudget, Spent

# Seconds between two looks at the shared budget, and how long after its return shares are still
# lived on: by then each replica has told what it spent.
LOOK: Final = 1.0
_SETTLES: Final = 2.5 * LOOK
# Scopes that are looked at, the latest ones.
_MOST: Final = 100
# Scopes that live on a share at once; of one that is forgotten nothing is told.
_MOST_ABSENCES: Final = 10_000


@dataclass(slots=True)
class _Absence:
    """Since the shared budget was missed: the calls not told of yet, and when it was back."""

    untold: list[float] = field(default_factory=list)
    back_since: float | None = None


@dataclass(frozen=True, slots=True)
class _Mirror:
    """The calls of the last window as they were at `at` (monotonic)."""

    spent: Spent
    at: float

    def ages(self, now: float) -> list[float]:
        """How old they are now (seconds)."""
        return [age + now - self.at for age in self.spent.ages]


class Absences:
    """Keeps watch over one shared budget; `replicas` tells how many live on it."""

    def __init__(
        self, shared: Budget, own: OwnBudget, clock: Clock, replicas: Callable[[], int]
    ) -> None:
        self._shared = shared
        self._own = own
        self._clock = clock
        self._replicas = replicas
        self._mirrors: dict[str, _Mirror] = {}
        self._absences: dict[str, _Absence] = {}

    def lasts(self, scope: str) -> bool:
        """Whether a share pays for now."""
        return scope in self._absences

    def begin(self, scope: str) -> None:
        """The shared budget did not answer: make a share of what was last seen of it."""
        self._absences[scope] = _Absence()
        if len(self._absences) > _MOST_ABSENCES:
            del self._absences[next(iter(self._absences))]
        mirror = self._mirrors.get(scope)
        if mirror is not None:
            ages = mirror.ages(self._clock.monotonic())
            self._own.stand_in(scope, ages, self._replicas())

    def spent(self, scope: str) -> None:
        """A call that the shared budget cannot know of goes now."""
        if scope not in self._absences:
            self.begin(scope)
        self._absences[scope].untold.append(self._clock.monotonic())

    def used(self, scope: str, charge: Charge, *, sent: bool) -> None:
        """The shared budget paid that: it is worth looking at. Not `sent`: it goes later, and
        is stamped anew by then."""
        mirror, now = self._mirrors.pop(scope, None), self._clock.monotonic()
        before = Spent((), ()) if mirror is None else mirror.spent
        ages = [] if mirror is None else mirror.ages(now)
        known = [*before.stamps, charge.stamp] if sent else before.stamps
        self._mirrors[scope] = _Mirror(Spent([*ages, 0.0], known, before.life), now)
        if len(self._mirrors) > _MOST:
            del self._mirrors[next(iter(self._mirrors))]

    async def run(self) -> None:
        """Look and tell, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK)

    async def look(self) -> None:
        """Renew what is known of each scope, and tell what was spent of its share."""
        for scope in {**self._mirrors, **self._absences}:
            with suppress(RedisUnavailable):
                await self._tell(scope)
                self._mirrors[scope] = await self._renewed(scope)

    async def _renewed(self, scope: str) -> _Mirror:
        """What is known of the scope, once the shared budget was told of what it has lost."""
        before, spent = self._mirrors.get(scope), await self._shared.look(scope)
        if before is not None and _has_lost(before.spent, spent):
            await self._shared.hand_in(scope, (), before.spent.stamps)
            spent = await self._shared.look(scope)
        return _Mirror(spent, self._clock.monotonic())

    async def _tell(self, scope: str) -> None:
        absence, now = self._absences.get(scope), self._clock.monotonic()
        if absence is None:
            return
        told, mirror = absence.untold[:], self._mirrors.get(scope)
        # As it was before the absence, lest it was lost; what is known already changes nothing.
        known = mirror.spent.stamps if mirror is not None and _has_seen(mirror.spent) else None
        await self._shared.hand_in(scope, [now - each for each in told], known)
        del absence.untold[: len(told)]
        if absence.back_since is None:
            absence.back_since = now
        elif now - absence.back_since >= _SETTLES and not absence.untold:
            del self._absences[scope]
            self._own.step_back(scope)


def _has_seen(spent: Spent) -> bool:
    """Whether anything of the past is known, be it that nothing was sent."""
    return spent.life != 0 or bool(spent.stamps)


def _has_lost(before: Spent, now: Spent) -> bool:
    """Whether the budget may not know any more what was seen there. That another replica told of
    the latest call says nothing of those that only this one saw."""
    if not before.stamps:
        return False
    is_another = before.life not in (now.life, 0)
    return is_another or max(before.stamps) not in now.stamps  # or that is older than the window
