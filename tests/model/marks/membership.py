"""Members in the model of marks: which are listed, and until when they may serve old entries."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.model.marks.records import PERIOD, Members, Notice

if TYPE_CHECKING:
    from tests.model.marks.world import World

SLACK = 1.0  # so long after a period a life is settled


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an order knows of the others: until when each may serve what it holds."""

    notice: Notice
    written: float
    others: dict[int, float]
    unsettled: float

    @property
    def is_confirmed(self) -> bool:
        return self.others.keys() <= self.notice.confirmed and self.unsettled == -math.inf

    @property
    def until(self) -> float:
        missing = [t for n, t in self.others.items() if n not in self.notice.confirmed]
        return max([self.unsettled, *missing])


@dataclass
class Membership:
    """One replica's view of the members: the words of their heartbeats, and when it saw them."""

    number: int
    world: World
    heard: float = -math.inf
    word: str = "-"
    life: str = ""
    since: float = -math.inf
    seen: dict[int, tuple[str, float]] = field(default_factory=dict)

    @property
    def is_listed(self) -> bool:
        return self.world.now - self.heard < PERIOD

    @property
    def settled_life(self) -> str:
        """The life of the record, if this replica has seen it for a period."""
        return self.life if self.world.now - self.since >= PERIOD + SLACK else ""

    def note(self, members: Members, sent: float) -> None:
        """A heartbeat was acknowledged."""
        self.heard = sent
        self.word, _ = members.heartbeats[self.number]
        self._see(members)

    def is_known(self, members: Members) -> bool:
        """Whether the last heartbeat is there. A failover may have undone it."""
        return members.heartbeats.get(self.number, ("", 0.0))[0] == self.word

    def _see(self, members: Members) -> None:
        """Note the heartbeats that are new."""
        now = self.world.now
        if members.life != self.life:
            self.life, self.since, self.seen = members.life, now, {}
        if members.is_settled:
            self.since = -math.inf
        seen = {}
        for number, (word, _) in members.heartbeats.items():
            before = self.seen.get(number, ("", now))
            seen[number] = before if before[0] == word else (word, now)
        self.seen = seen

    def receipt(self, notice: Notice, members: Members) -> Receipt:
        """The others that may still serve what they hold, and until when at the latest."""
        now = self.world.now
        self._see(members)
        until = {number: at + PERIOD for number, (_, at) in self.seen.items()}
        others = {each: at for each, at in until.items() if each != self.number and at > now}
        born = self.since + PERIOD
        unsettled = born if born > now else -math.inf
        return Receipt(notice, notice.order.written_at, others, unsettled)
