"""Who is listed in the model of marks, and until when the others may serve what was ruled out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.model.marks.orders import Notice
from tests.model.marks.records import Members
from tests.model.marks.rules import L1_LIFETIME, PERIOD, Rule

if TYPE_CHECKING:
    from tests.model.marks.world import World

# A failover may have undone the last heartbeat of a second.
SLACK = 1.0


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
    sent: float = -math.inf
    acknowledged: float = -math.inf
    word: int = -1
    life: int = 0
    since: float = -math.inf
    seen: dict[int, tuple[int, float]] = field(default_factory=dict)

    @property
    def is_listed(self) -> bool:
        return self.world.now - self.heard < PERIOD

    @property
    def settled_life(self) -> int:
        """The life of the record, if this replica has seen it for a period; else 0."""
        return self.life if self.world.now - self.since >= PERIOD + SLACK else 0

    def note(self, before: int, members: Members, sent: float) -> None:
        """A heartbeat was acknowledged, which has found the word of the one before."""
        now, has = self.world.now, self.world.has
        moment = sent if has(Rule.FROM_SENDING) else now
        if not has(Rule.SURE):
            self.heard = moment
        elif before == self.word and sent - self.acknowledged >= SLACK:
            self.heard = self.sent
        word, _ = members.heartbeats[self.number]
        if not (before == self.word and sent - self.acknowledged < SLACK):
            self.sent, self.acknowledged = moment, now
        self.word = word
        self._see(members)

    def _see(self, members: Members) -> None:
        """Note the heartbeats that are new."""
        now, is_new = self.world.now, members.life != self.life
        if is_new:
            self.life, self.since = members.life, -math.inf if members.is_settled else now
        for number, (word, _) in members.heartbeats.items():
            if is_new or word != self.seen.get(number, (0, 0.0))[0]:
                self.seen[number] = word, now

    def receipt(self, notice: Notice, members: Members, clock: float) -> Receipt:
        """The others that may still serve what they hold, and until when at the latest."""
        now, has = self.world.now, self.world.has
        self._see(members)
        if has(Rule.CLOCK):
            until = {each: at + PERIOD for each, (_, at) in self.seen.items()}
            born = self.since + PERIOD
        else:
            until = {
                each: now + at + PERIOD + SLACK - clock
                for each, (_, at) in members.heartbeats.items()
            }
            born = now + members.born + PERIOD + SLACK - clock
        others = {each: at for each, at in until.items() if each != self.number and at > now}
        if not has(Rule.UNTIL):
            others = dict.fromkeys(others, now + L1_LIFETIME)
        is_born = born > now and has(Rule.BORN)
        return Receipt(notice, notice.order.written_at, others, born if is_born else -math.inf)
