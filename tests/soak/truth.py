"""What is true, and whether an answer is: the outside observer of the soak.

It knows when each version was published and which orders were confirmed, and judges each answer
by nothing but that and what the answer says of itself.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

ORGANISATIONS = ("acme", "globex")
IDS = tuple(f"trn_{number:06d}" for number in range(1, 13))
# An answer's Age is in whole seconds, and our clock is not the gateways'.
SLACK = 1.5
_NUMBERED = re.compile(r"(\w+) (\w+) (\d+)")
_RESCUE = re.compile(r"detail=stale-(error|shielded)")

Training = tuple[str, str]
"""An organisation and an id."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Seconds: how long answers are fresh, may be stale while revalidated, and on errors; how long
    a caller waits for upstream in between; and how long a fetch may take."""

    lifetime: float
    stale: float
    rescue: float
    soft_wait: float
    fetch: float


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked when, of which run of which replica, by whom; `floor` is the version below
    which no answer may be, but a rescue: by a replica that may have missed the order, or not below
    `rescue_floor`. `reader` None: a list, which may be older than what was read before."""

    training: Training
    replica: str
    reader: int | None
    asked_at: float
    floor: int
    rescue_floor: int
    may_rescue: bool = False


@dataclass(slots=True)
class _Order:
    """Nothing below that version is answered to who asks after `since` (monotonic). If some did not
    confirm it, and Redis lost it before then, they may rescue with what is older."""

    since: float
    below: int
    is_confirmed: bool = True
    is_lost: bool = False


@dataclass(slots=True)
class Truth:
    """All that was published and seen."""

    windows: Windows
    published: dict[Training, list[float]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost_at: float = -math.inf  # when Redis last forgot all it knew, or some of it (monotonic)
    _orders: dict[Training, list[_Order]] = field(
        default_factory=lambda: defaultdict(lambda: [_Order(-math.inf, 0)])
    )
    _last: dict[tuple[Training, str, int | None], int] = field(default_factory=dict)

    def publish(self, training: Training, at: float) -> None:
        """Another version is surely in force since then."""
        self.published.setdefault(training, []).append(at)

    def latest(self, training: Training) -> int:
        """The number of the version in force; versions count from 1."""
        return len(self.published.get(training, []))

    def lose(self, at: float) -> None:
        """Redis forgot what it knew, orders included."""
        self.lost_at = at
        for order in [each for orders in self._orders.values() for each in orders]:
            order.is_lost |= not order.is_confirmed and order.since > at

    def rule_out(
        self, training: Training, below: int, since: float, *, asked_at: float | None = None
    ) -> None:
        """An order said that nothing older than this version is answered to who asks after then.
        Some replicas did not confirm it if the time is given at which it was asked for."""
        is_lost = asked_at is not None and asked_at < self.lost_at
        self._orders[training].append(_Order(since, below, asked_at is None, is_lost))

    def floors(self, training: Training, now: float) -> tuple[int, int]:
        """The lowest version that may be answered to who asks now, and the lowest for a rescue."""
        orders = self._orders[training]
        in_force = [each for each in orders if each.since <= now]
        floor = max(each.below for each in in_force)
        rescue_floor = max(each.below for each in in_force if not each.is_lost)
        later = [each for each in orders if each.below > rescue_floor]
        orders[:] = [_Order(-math.inf, rescue_floor), *later]
        return floor, rescue_floor

    def judge(
        self, question: Question, answer: httpx.Response, answered_in: float, stood: float = 0.0
    ) -> None:
        """Note what is wrong about it; it came after so many seconds, and its replica stood still
        for so many while it was asked for."""
        self.seen[f"{answer.status_code // 100}xx"] += 1
        status = answer.headers.get("cache-status", "")
        word = re.search(r"detail=([\w-]+)", status)
        self.seen[word[1] if word else "asked" if "fwd=" in status else "other"] += 1
        if answer.status_code != 200:
            self._judge_failure(question, answer)
            return
        match = _NUMBERED.fullmatch(str(answer.json()["content"]))
        if match is None or (match[1], match[2]) != question.training:
            self._note(question, answer, f"is not the caller's: {answer.text[:80]}")
            return
        self._judge_version(question, answer, int(match[3]), answered_in)
        self._judge_age(question, answer, int(match[3]), answered_in, stood)

    def _judge_failure(self, question: Question, answer: httpx.Response) -> None:
        if answer.status_code not in {502, 503, 504}:
            self._note(question, answer, f"for a good key: {answer.text[:200]}")
        elif answer.status_code == 503 and "retry-after" not in answer.headers:
            self._note(question, answer, "without Retry-After")

    def _judge_version(
        self, question: Question, answer: httpx.Response, number: int, answered_in: float
    ) -> None:
        is_rescue = self._is_rescue(answer.headers.get("cache-status", ""), answered_in)
        may_be_older = is_rescue and (question.may_rescue or number >= question.rescue_floor)
        if number < question.floor and not may_be_older:
            self._note(question, answer, f"version {number} after order for {question.floor}")
        place = (question.training, question.replica, question.reader)
        before = self._last.get(place, 0)
        if number < before and question.reader is not None:
            self._note(question, answer, f"version {number} after {before}")
        self._last[place] = max(before, number)

    def _judge_age(
        self,
        question: Question,
        answer: httpx.Response,
        number: int,
        answered_in: float,
        stood: float,
    ) -> None:
        age = float(answer.headers.get("age", "0"))
        status = answer.headers.get("cache-status", "")
        replaced_at = self._replaced_at(question.training, number)
        if replaced_at is not None and replaced_at < question.asked_at - age - SLACK:
            ago = question.asked_at - age - replaced_at
            self._note(question, answer, f"version {number} was none for {ago:.1f} s at that age")
        # A fetch may take its time, and longer where the process stands still meanwhile; so may
        # an answer on its way out.
        late = self.windows.fetch + stood if "fwd-status=200" in status else answered_in
        if "detail=stale" not in status and age > self.windows.lifetime + late + SLACK:
            self._note(question, answer, "is stale and does not say so")
        if age > self._may_be(status, answered_in) + late + SLACK:
            self._note(question, answer, f"is too old, after {answered_in:.2f} s")

    def _may_be(self, status: str, answered_in: float) -> float:
        """Seconds."""
        if self._is_rescue(status, answered_in):
            return self.windows.rescue
        return self.windows.lifetime + self.windows.stale

    def _is_rescue(self, status: str, answered_in: float) -> bool:
        """Who waited for upstream in vain gets what a failure would have left him."""
        waited = answered_in >= self.windows.soft_wait * 0.9
        return waited or _RESCUE.search(status) is not None

    def _replaced_at(self, training: Training, number: int) -> float | None:
        times = self.published[training]
        return times[number] if number < len(times) else None

    def _note(self, question: Question, answer: httpx.Response, what: str) -> None:
        told = {name: answer.headers.get(name) for name in ("cache-status", "age")}
        who = f"{question.replica}, reader {question.reader}, {' '.join(question.training)}"
        at = datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]
        self.wrong.append(f"{at} {who}: {answer.status_code} {told} {what}")
