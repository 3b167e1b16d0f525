"""What must hold whenever a replica answers, whatever happened before.

- No caller is answered with what an order ruled out that this replica had acted upon before the
  caller asked; a soft purge leaves it for rescue.
- While Redis is there, nothing is served as current that its marks ruled out for longer than
  `l1.lifetime`, or of which Redis has lost a mark for so long.
- Versions that a replica has answered with never go back. Excused: what comes after an order, after
  a flush, a lost record, a crash, an eviction, and after an absence of Redis; an older version of
  the upstream's that is marked as such; and an answer of which the marks changed meanwhile.
- A stale answer is marked as one, and no answer is older than its windows allow. Excused: what the
  upstream gave after the caller asked, to this replica or to another one that was waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.cache.entry import Entry, Key
from gateway.core.cache.marks import CLOCK_TOLERANCE, Marks, State, is_later, state_of
from gateway.core.vocabulary import NotStoredReason, Outcome, Tier
from gateway.flow.request.response_selection import Answer
from gateway.ports import Found, Held
from tests.unit.flow.protocol import ID, PARTITIONS, WINDOWS, Called, Node, Order, World

L1_LIFETIME = 5.0
KEYS = [Key(partition, ID) for partition in PARTITIONS]
_RESCUES = (Outcome.STALE_ERROR, Outcome.STALE_SHIELDED)
_STALE = (*_RESCUES, Outcome.STALE_REFRESHING)
_UNASKED = (Outcome.FRESH, Outcome.NEGATIVE, Outcome.STALE_REFRESHING)


@dataclass(frozen=True)
class Asked:
    """What held when a caller asked."""

    node: Node
    key: Key
    at: float
    calls: int
    orders: tuple[Order, ...]
    high: Entry | None
    era: int


class Truth:
    """Who has answered what, and what was known where; `faults` are the promises broken."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.orders: list[Order] = []
        self.faults: list[str] = []
        self._highs: dict[tuple[Node, Key], Entry] = {}
        self._eras: dict[tuple[Node, Key], int] = {}
        self._known: dict[Key, list[tuple[float, Found]]] = {key: [] for key in KEYS}
        self._away: dict[Node, float] = {}

    def ask(self, node: Node, key: Key) -> Asked:
        """Somebody asks now."""
        orders = tuple(each for each in self.orders if node.bus in each.done)
        return Asked(
            node,
            key,
            self._world.clock.monotonic(),
            len(self._world.upstream.calls),
            tuple(each for each in orders if each.concerns(key)),
            self._highs.get((node, key)),
            self._eras.get((node, key), 0),
        )

    def judge(self, asked: Asked, answer: Answer) -> None:
        """This was answered now."""
        entry, called = entry_of(answer), self.called(answer)
        told = f"{answer.outcome} {answer.handling} {answer.tier} {called}"
        for fault in self._broken(asked, answer, entry, called):
            self.faults.append(f"{fault}: {told}")

    def check(self) -> None:
        """Raise the promises that were broken."""
        assert not self.faults, "\n".join(self.faults)

    def called(self, answer: Answer) -> Called:
        """The call that brought or last confirmed it."""
        return self._world.upstream.call_of(entry_of(answer))

    def _broken(self, asked: Asked, answer: Answer, entry: Entry, called: Called) -> list[str]:
        found = []
        if any(_breaks(order, called, answer) for order in asked.orders):
            found.append("ruled out by an order")
        was_there = called.number < asked.calls
        if was_there and answer.outcome in _UNASKED and self._was_ruled_out(asked, entry):
            found.append("ruled out for long")
        if answer.tier is not Tier.UPSTREAM and not self._came_since(asked, called):
            age = self._world.clock.now() - called.at - CLOCK_TOLERANCE
            if age >= entry.freshness_lifetime and answer.outcome not in _STALE:
                found.append(f"stale without a word after {age} s")
            if age >= entry.freshness_lifetime + WINDOWS.stale_if_error:
                found.append(f"past its windows after {age} s")
        if self._went_back(asked, answer, entry):
            assert asked.high is not None
            found.append(f"behind {self._world.upstream.call_of(asked.high)}")
        return found

    def _came_since(self, asked: Asked, called: Called) -> bool:
        """Whether the upstream answered that call while the caller waited."""
        return self._world.upstream.answered.get(called, 0.0) >= asked.at

    def _was_ruled_out(self, asked: Asked, entry: Entry) -> bool:
        since = asked.at - L1_LIFETIME - 0.5
        if not asked.node.way.is_up or self._away.get(asked.node, 0.0) >= since:
            return False
        log = self._known[asked.key]
        before = [found for at, found in log if at < since][-1:] or [Found(Marks(), None)]
        known = [*before, *(found for at, found in log if since <= at <= asked.at)]
        return all(_rules_out(found, entry) for found in known)

    def _went_back(self, asked: Asked, answer: Answer, entry: Entry) -> bool:
        place = (asked.node, asked.key)
        if self._eras.get(place, 0) != asked.era:
            return False
        if answer.handling.not_stored is NotStoredReason.INVALIDATED:
            return False  # an order ruled it out, which concerns requests that begin after it
        known = self._highs.get(place)
        if known is None or self._state(known) < self._state(entry):
            self._highs[place] = entry
        high = asked.high
        if high is None or self._state(entry) >= self._state(high):
            return False
        if answer.handling.not_stored is NotStoredReason.OLDER_VERSION:
            return False
        return None not in (*entry.ticket, *high.ticket)

    def _state(self, entry: Entry) -> int:
        return self._world.upstream.call_of(entry).state

    async def note_marks(self) -> None:
        """What Redis knows now."""
        for key, log in self._known.items():
            found = (await self._world.memory.lookup(key))._replace(entry=None)
            if not log or log[-1][1] != found:
                log.append((self._world.clock.monotonic(), found))

    def note_away(self, node: Node) -> None:
        """Redis is, or was until now, away for this replica."""
        if not node.way.is_up:
            self._away[node] = self._world.clock.monotonic()

    async def forgive(self, node: Node) -> None:
        """Excuse the replica where neither itself nor Redis knows any more what it answered."""
        for key in KEYS:
            high = self._highs.get((node, key))
            if high is not None and not await self._knows(node, key, high):
                self.excuse(node, key)

    async def _knows(self, node: Node, key: Key, high: Entry) -> bool:
        held = node.replica.local.peek(key)
        if held is not None and self._state(held.entry) >= self._state(high):
            return True
        stored = (await self._world.memory.lookup(key)).stored
        return node.way.is_up and stored is not None and not is_later(high.facts, stored)

    def excuse(self, node: Node, key: Key) -> None:
        """Whatever the replica answered so far may be followed by anything."""
        self._eras[node, key] = self._eras.get((node, key), 0) + 1
        self._highs.pop((node, key), None)


def _rules_out(found: Found, entry: Entry) -> bool:
    """Whether Redis did not know that it may be fresh."""
    stored = found.stored
    is_same = stored is not None and stored.ticket.hard == entry.ticket.hard
    known = stored.version if stored is not None and is_same else None
    return state_of(entry.facts, found.marks, known) is not State.CURRENT


def entry_of(answer: Answer) -> Entry:
    """What was answered, which is never the upstream's own word to the caller here."""
    assert isinstance(answer.content, Held)
    return answer.content.entry


def _breaks(order: Order, called: Called, answer: Answer) -> bool:
    if order.notice.soft and answer.outcome in _RESCUES:
        return False
    return order.rules_out(called)
