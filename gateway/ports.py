"""First floor: what the flow needs of the world, as Protocols, and the values that cross.

Each Protocol has a contract suite in tests/contract that every implementation passes.
Nothing here decides; nothing here does I/O.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from gateway.core.ending import Ending
from gateway.core.entry import Confirmation, Entry, Floor, Headers, Key, Ticket
from gateway.core.hints import Stated
from gateway.core.instant import Instant
from gateway.core.listed import Listed, ListVerdict
from gateway.core.pacing import Pause
from gateway.core.page import Page
from gateway.core.progress import Progress
from gateway.core.reply import Reply
from gateway.core.status import (
    AccessRefusal,
    Cause,
    Circuit,
    Detail,
    DriftKind,
    EndingKind,
    FailureReason,
    InvalidReason,
    Mode,
    NoticeKind,
    NotStoredReason,
    Origin,
    Outcome,
    Purpose,
    RedisOperation,
    StoreVerdict,
    Tier,
)


class Clock(Protocol):
    """The only source of time and of chance; a fake one in tests."""

    @property
    def offset(self) -> float:
        """`now` less `monotonic`: changes when the shared clock is set, and not otherwise."""
        ...

    def now(self) -> float:
        """Seconds since the Unix epoch on the clock that the replicas share."""
        ...

    def monotonic(self) -> float:
        """Seconds for durations inside this process."""
        ...

    def jitter(self) -> float:
        """A number in [0, 1), evenly spread."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...


# When Redis agreed with what it was not asked about, or does not agree with.
NEVER: Final = -math.inf


class Count(Protocol):
    """Counts one answer of a sort: seconds, age, client, and the trace where one is sampled."""

    def __call__(
        self, seconds: float, age: float, client: str, trace: bytes | None = None, /
    ) -> None: ...


class Manner:
    """How answers of one sort are told and counted: one object for thousands of them.

    `start` is the status line. `count`, and `count_not_modified` for a 304 in its place, take
    the seconds that it took, the age and the client.
    """

    __slots__ = ("count", "count_not_modified", "detail", "outcome", "start", "tier")

    def __init__(
        self,
        outcome: Outcome,
        tier: Tier,
        detail: Detail | None,
        start: bytes,
        counts: tuple[Count, Count],
    ) -> None:
        self.outcome = outcome
        self.tier = tier
        self.detail = detail
        self.start = start
        self.count, self.count_not_modified = counts


class Held(msgspec.Struct, gc=False):
    """An entry as L1 holds it, with its head rendered.

    `head` is the lines of its fields, from `brief_at` on those that a 304 says as well;
    `is_verbatim`: with what the upstream says of caching. `is_plain`: it has a version, and no
    request field chose it, so that whoever asks for its key may have it while it is fresh.
    `checked_at` is the monotonic time when Redis was last known to agree with it. `is_purged`:
    it may rescue and nothing else, whatever Redis says or forgets. `cost` is what L1 counts
    for it, in bytes. `is_codable`: its compressed form is worth having; that is `coded`, once
    somebody asked for it. `reads` counts the answers that L1 was asked for, of fresh ones within
    a second one; `reads_before` are those before it was confirmed.

    The last four are the answer that L1 gives with it unasked, and what that is good for:
    until the monotonic time `until`, in the `edition` of `Serving`, in that `manner`, with the
    lines `moment` behind its head. At most for a second, since they tell the age.

    The collector of cycles does not see it: there are many, and none is part of a cycle.
    """

    entry: Entry
    head: bytes
    brief_at: int
    checked_at: float
    is_purged: bool = False
    cost: int = 0
    is_plain: bool = True
    is_verbatim: bool = False
    is_codable: bool = False
    coded: Held | None = None
    reads: int = 0
    reads_before: int = 0
    until: float = NEVER
    edition: object = None
    manner: Manner | None = None
    moment: bytes = b""

    def but(self, **changes: object) -> Held:
        """The same with other values in these fields."""
        return msgspec.structs.replace(self, **changes)

    @property
    def reads_since(self) -> int:
        """How often it was read since it was confirmed."""
        return self.reads - self.reads_before

    def follow(self, before: Held) -> None:
        """Go on counting the reads of what was held under the key."""
        is_confirmed = self.entry.confirmed_at != before.entry.confirmed_at
        self.reads_before = before.reads if is_confirmed else before.reads_before
        self.reads = max(self.reads, before.reads)

    def doubt(self) -> None:
        """Let nobody answer with it before Redis was asked, or while Redis is away."""
        self.checked_at = self.until = NEVER


class LocalStore(Protocol):
    """L1: bounded in bytes, least recently used goes first; never awaits."""

    def get(self, key: Key) -> Held | None:
        """What is held under the key, which becomes the most recently used."""
        ...

    def peek(self, key: tuple[str, str], /) -> Held | None:
        """What is held under the key, its place in the order untouched."""
        ...

    def put(self, key: Key, held: Held) -> None:
        """Hold it; what exceeds the bound alone is not held."""
        ...

    def offer(self, key: Key, held: Held) -> bool:
        """Hold it where there is room, as the one to go first; whether it is held."""
        ...

    def replace(self, key: Key, held: Held) -> None:
        """Hold it in place of what is held, which must be something, as recently used as that."""
        ...

    def drop(self, key: Key) -> bool:
        """Forget the key; whether anything was held."""
        ...

    def drop_partition(self, partition: str) -> int:
        """Forget all keys of a partition; how many were held."""
        ...

    def keys(self, partition: str | None = None, training_id: str | None = None) -> list[Key]:
        """The keys held, narrowed down to a partition or a training."""
        ...

    @property
    def entries(self) -> int:
        """How many are held."""
        ...

    @property
    def size(self) -> int:
        """How many bytes they take, keys, headers and object overhead counted."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What the shared store holds: `floor` None is "unknown", `entry` None is "no body"; a floor
    of no epoch is what orders left of one that was lost.

    What was fetched at `struck_at` (the shared clock) or before is ruled out.
    """

    entry: Entry | None
    floor: Floor | None
    struck_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class Stored:
    """How an offered entry was received, and the floor after that (None: unknown)."""

    verdict: StoreVerdict
    floor: Floor | None


@dataclass(frozen=True, slots=True)
class Copies:
    """How many copies the shared store has, any of which may take its place, and how many of
    them have what was written."""

    known: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a key without its body.

    `last` reads what came beside the body whose digest the floor has; None where it is not
    kept. It costs more than the floor, and is needed only where that was confirmed later. What
    was fetched at `struck_at` (the shared clock) or before is ruled out.
    """

    floor: Floor
    last: Callable[[], Confirmation | None]
    struck_at: float = -math.inf


class SharedStore(Protocol):
    """L2: bodies and version floors that all replicas see.

    Every call raises RedisUnavailable where it cannot be answered within the timeout.
    """

    @property
    def is_up(self) -> bool:
        """Whether all of it answered last."""
        ...

    def reaches(self, key: Key) -> bool:
        """Whether what stands under the key can be asked for now; False: calls fail at once."""
        ...

    @property
    def holds_bodies(self) -> bool:
        """False for the ledger of a process alone: its bodies live in L1 only."""
        ...

    async def lookup(self, key: Key) -> Found:
        """Body and floor in one round trip, shared by look-ups of the same loop turn."""
        ...

    async def confirm(self, keys: Sequence[Key]) -> dict[Key, Standing | None]:
        """How each key stands (None: unknown), no body read; shared by all that is asked in
        the same loop turn. Without those that cannot be asked for; raises if none can."""
        ...

    async def begin(self, key: Key) -> Ticket:
        """Take the generation before a fetch; makes the floor where there is none."""
        ...

    async def store(self, key: Key, entry: Entry, keep: float) -> Stored:
        """Offer an entry; written only with the floor's generation and epoch of the
        entry's ticket, and never over a later version. Kept `keep` seconds (> 0)."""
        ...

    async def drop(self, key: Key) -> None:
        """Raise the generation and remove the body of one key."""
        ...

    async def invalidate(self, training_id: str, updated_at: int | None) -> None:
        """Make what is older than `updated_at` (all, for None) unusable in every partition,
        held now or not, fetches in flight included."""
        ...

    async def strike(self, partition: str) -> None:
        """Rule out all that was fetched for a partition up to now, in one step whatever there
        is of it, fetches in flight included."""
        ...

    async def purge(self, partition: str | None, *, soft: bool) -> int:
        """Raise the generation of every key (of a partition) and remove the bodies, which
        `soft` keeps for rescue; how many keys."""
        ...

    async def secure(self, patience: float) -> Copies | None:
        """Wait until all that was written so far stands in each copy of the store as well, so
        many seconds at most; None where it has no copies."""
        ...


def _unknown() -> None:
    """Nothing is known of it here."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What the list said of a training, held against its floor, and the floor after that.

    `is_held`: a body is stored that the floor is about. `last` reads what the last single answer
    brought beside it; None where that is not known here.
    """

    verdict: ListVerdict
    floor: Floor | None
    is_held: bool
    last: Callable[[], Confirmation | None] = field(default=_unknown, compare=False)


class ListStore(Protocol):
    """What the list does to floors and bodies; no body is read or written.

    Every call raises RedisUnavailable where it cannot be answered within the timeout.
    """

    async def compare(self, partition: str, items: Sequence[Listed], keep: float) -> list[Compared]:
        """Hold a page against what is known, each training by itself: the version known is
        renewed with its body for `keep` seconds, a later one raises the floor, and what was
        stored below it may rescue. Nothing is done where something was learnt or ordered since
        the page was asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """How the sweep of a partition stands at `now`, and whether this replica `leads` it.

    `is_read`: callers of some replica read of the partition lately.
    """

    leads: bool
    progress: Progress
    is_read: bool
    now: float


@dataclass(frozen=True, slots=True)
class Advanced:
    """After a page: how many different trainings this sweep has met, and which of the last
    complete one should have stood on the page and did not."""

    distinct: int
    absent: tuple[str, ...]


class SweepLease(Protocol):
    """One sweep of a partition for all replicas, and how far it has come.

    Every call raises RedisUnavailable where it cannot be answered within the timeout.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which the lead lapses unless taken again; infinite where nobody else
        is."""
        ...

    async def take(self, partition: str, *, was_read: bool) -> Turn:
        """Take the lead, or keep it; where another replica has it, look on. `was_read`: callers
        of this replica read of the partition since it was told last."""
        ...

    async def advance(
        self, partition: str, progress: Progress, page: Page, before: Progress
    ) -> Advanced | None:
        """A page was dealt with: go on from `progress`, where it was `before`. None where the
        lead is lost, and then nothing is written."""
        ...

    async def note(self, partition: str, progress: Progress) -> bool:
        """Go on from there; False where the lead is lost, and then nothing is written."""
        ...

    async def finish(self, partition: str, progress: Progress, *, complete: bool) -> bool:
        """A sweep came to its end; of a complete one the trainings are known from now on."""
        ...

    async def knows(self, partition: str, training_id: str) -> bool | None:
        """Whether the last complete sweep met the training; None where there was none."""
        ...

    async def note_filled(self, partition: str, training_ids: Sequence[str]) -> None:
        """These were stored from the list."""
        ...

    async def filled(self, partition: str) -> list[str]:
        """All that were, as far as it is known."""
        ...

    async def forget_filled(self, partition: str) -> None:
        """None of them is any more."""
        ...

    async def release(self, partition: str) -> None:
        """Let another replica lead at once."""
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """The ticket of a fetch that may begin now, and which replica's fetch it is to be.

    `token` names the fetch that leads: this one where `leads`, else the one to follow. `floor`
    is what was known at that moment (None: not told).
    """

    ticket: Ticket
    token: str
    leads: bool
    floor: Floor | None


class Lease(Protocol):
    """One fetch for a key across replicas. It saves work; what is stored is decided elsewhere.

    Every call raises RedisUnavailable where it cannot be answered within the timeout.
    """

    @property
    def lifetime(self) -> float:
        """Seconds after which it lapses unless renewed; infinite where nobody else is."""
        ...

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """Take the generation before a fetch, as SharedStore.begin does, and with it the lease.

        Where another fetch holds it, this replica is to follow, and is told of the ending; a
        fetch since whose begin something was invalidated, or learnt, is passed over. Raises
        BackedOff to who is `unhurried` while the key is left alone.
        """
        ...

    async def renew(self, key: Key, token: str) -> bool:
        """Hold it for another lifetime; False where it is lost."""
        ...

    async def release(
        self, key: Key, token: str, ending: Ending, pause: Pause | None = None
    ) -> None:
        """Let go of it and tell those who follow; nothing where it is lost.

        `pause`: the key is left alone, by all replicas and for longer with each failure in a
        row, until an ending that is an answer.
        """
        ...

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """How the fetch with that token ended, once it did; None while it still leads after so
        many seconds. A lease that lapsed without an ending is a transient one."""
        ...


class AloneLease:
    """The lease of a process without others: there the flight is the lease."""

    lifetime = math.inf

    def __init__(self, shared: SharedStore) -> None:
        self._shared = shared

    async def take(self, key: Key, *, unhurried: bool = False) -> Taken:
        """Whoever asks leads."""
        return Taken(await self._shared.begin(key), "", leads=True, floor=None)

    async def renew(self, key: Key, token: str) -> bool:
        """It cannot be lost."""
        return True

    async def release(
        self, key: Key, token: str, ending: Ending, pause: Pause | None = None
    ) -> None:
        """Nobody follows, and what failed the replica remembers by itself."""

    async def watch(self, key: Key, token: str, patience: float) -> Ending | None:
        """Nobody leads."""
        return Ending(EndingKind.TRANSIENT)


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A tenant's budget as last seen: None for `limit` and `available` means unlimited.

    `gate_closed_for` is in seconds, 0.0 while the gate is open.
    """

    limit: int | None
    window: float
    available: int | None
    gate_closed_for: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One call that is paid: `stamp` is for the budget to read, the call may be sent after
    `wait` seconds."""

    stamp: float
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """The calls of the last window, the oldest first: how old (seconds) each is, less than 0
    where it is granted for later; and, of those that were sent, when by the budget's own clock,
    for that budget to read. Where there are too many, a stamp stands for several calls."""

    ages: Sequence[float]
    stamps: Sequence[float]


class Budget(Protocol):
    """Our share of the upstream's limit, and the gate that a 429 closes.

    `scope` names whose: a tenant, or a partition where each credential has its own. What a
    purpose may spend while calls are short is `core.ranks`' business.
    """

    async def take(
        self, scope: str, purpose: Purpose, *, guessed: bool = False, patience: float = 0.0
    ) -> Charge:
        """Charge one call whose turn comes within `patience` seconds; raises BudgetExhausted,
        which says when to come back, or GateClosed.

        `guessed`: the upstream probably does not have that training. While the gate is due to
        reopen, one taker is let through as the probe.
        """
        ...

    async def enter(self, scope: str, charge: Charge) -> Charge | None:
        """The turn that was waited for has come: the charge counts from now; None where it is
        not known any more, and another one is to be asked for. Raises GateClosed where upstream
        said 429 meanwhile; then it is undone."""
        ...

    async def give_back(self, scope: str, charge: Charge) -> None:
        """Undo a charge, once: the call provably never left.

        If it was the probe, the next taker is.
        """
        ...

    async def close(
        self, scope: str, retry_after: float | None, *, is_refusal: bool = True
    ) -> float:
        """Close the gate; seconds until it may reopen. A 429 (`is_refusal`) lowers the limit."""
        ...

    async def learn(self, scope: str, said: Stated) -> None:
        """The upstream said what is left of the limit, or what the limit is: downwards it is
        believed."""
        ...

    async def reopen(self, scope: str) -> bool:
        """An answer other than 429 came: opens a gate that is probed or due; whether it did."""
        ...

    async def look(self, scope: str) -> Spent:
        """The calls of the last window; renews the view."""
        ...

    async def hand_in(
        self, scope: str, ages: Sequence[float], known: Sequence[float] | None = None
    ) -> None:
        """Charge calls that were made so many seconds ago, paid from elsewhere; and those of
        these stamps, as they were seen here, that are not known any more. None: nothing was."""
        ...

    def view(self, scope: str) -> BudgetView:
        """The budget as last seen, without asking."""
        ...


class OwnBudget(Budget, Protocol):
    """The budget of this replica alone, which follows the shared one to stand in for it."""

    def note(self, scope: str, purpose: Purpose, *, guessed: bool = False) -> Charge:
        """Charge one call that the shared budget granted, whatever is left."""
        ...

    def stand_in(self, scope: str, ages: Sequence[float], replicas: int) -> None:
        """From now on pay alone, one of so many replicas' share of the limit and of what was
        spent of it, as it was when the shared budget was last seen."""
        ...

    def step_back(self, scope: str) -> None:
        """The shared budget pays again."""
        ...

    def hold(self, scope: str, seconds: float) -> None:
        """The shared gate is closed for so long: close this one, exactly as long."""
        ...


@dataclass(frozen=True, slots=True)
class Write:
    """What a caller writes: `path` is below the API's root, as it goes on the wire; `fields` are
    the caller's own."""

    method: str
    path: str
    body: bytes = field(repr=False)
    fields: Headers = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the upstream.

    `deadline` is on the monotonic clock and holds for the whole call; `extra` are request
    fields to pass on; validators are sent where given. `guessed`: the upstream probably does
    not have that training, and who guesses comes last. Turns are fair among those who ask.
    `offset`: a page of the list is asked for, from that row on, and no training.
    `write`: not a read, and never to be tried twice.
    """

    training_id: str
    token: str = field(repr=False)
    purpose: Purpose
    deadline: float
    etag: bytes | None = None
    last_modified: bytes | None = None
    extra: Headers = ()
    guessed: bool = False
    who: str = ""
    offset: int | None = None
    write: Write | None = None


class Upstream(Protocol):
    """The API that we protect."""

    async def call(self, call: Call) -> Reply:
        """Send it once and read the whole answer, whatever its status.

        Raises UpstreamUnreachable, UpstreamTimeout, or InvalidPayload for a body over the
        bound or cut short.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """What replicas tell each other: which entries are outdated, never a body.

    CHANGED      one training of one partition has a version of `updated_at` or later
    INVALIDATED  trainings, in every partition, are invalid below `updated_at` (None: wholly)
    PURGED       everything (of `partition`, where given); `soft` leaves bodies for rescue
    REFUSED      the upstream refused the credential of `partition`: all that is its goes
    """

    kind: NoticeKind
    training_ids: tuple[str, ...] = ()
    partition: str | None = None
    updated_at: Instant | None = None
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Confirmations:
    """How many replicas are known, this one included, and how many have done as told.

    `copies` are those of the shared store, where it has any: an order that one of them does not
    have is undone when that one takes over.
    """

    known: int
    confirmed: int
    copies: Copies | None = None


class Bus(Protocol):
    """How replicas hear of each other. A lost message costs time, never correctness."""

    @property
    def replicas(self) -> int:
        """How many there were when they were last counted, this one included."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether notices of others arrive."""
        ...

    async def announce(self, notice: Notice) -> None:
        """Tell the other replicas; raises RedisUnavailable."""
        ...

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """Tell them and wait until each has done as told, so many seconds at most.

        This replica counts as done: it acts before it tells. Raises RedisUnavailable.
        """
        ...

    async def enter(self) -> None:
        """Be among those who are waited for, before the first answer; nothing where the others
        cannot be reached."""
        ...

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[], None]) -> None:
        """Hand each notice of another replica to `apply`, and call `gap` whenever notices
        may have been missed; until cancelled, whatever arrives."""
        ...


class AloneBus:
    """The bus of a process without others."""

    replicas = 1

    @property
    def is_connected(self) -> bool:
        """There is nobody to miss."""
        return True

    async def announce(self, notice: Notice) -> None:
        """Nobody listens."""

    async def confirm(self, notice: Notice, patience: float) -> Confirmations:
        """This replica is all there are."""
        return Confirmations(known=1, confirmed=1)

    async def enter(self) -> None:
        """There is nobody who would wait."""

    async def listen(self, apply: Callable[[Notice], None], gap: Callable[[], None]) -> None:
        """Nothing ever comes."""


class SharedMode(Protocol):
    """Where an operator's word on the mode is kept; raises RedisUnavailable."""

    async def read(self) -> Mode | None:
        """What was ordered last; None where nothing was."""
        ...

    async def write(self, mode: Mode) -> None:
        """Order it for all replicas."""
        ...


class AloneMode:
    """The mode of a process without others: Modes itself remembers it."""

    async def read(self) -> Mode | None:
        """Nobody else orders."""
        return None

    async def write(self, mode: Mode) -> None:
        """Nobody else is told."""


class Observer(Protocol):
    """Where events become metrics and log lines. No verb raises, none awaits."""

    def requested(
        self,
        outcome: Outcome,
        tier: Tier,
        status: int,
        seconds: float,
        age: float | None,
        *,
        trace: bytes | None = None,
    ) -> None:
        """A request to the data plane was answered; `trace` is the id of one that is sampled."""
        ...

    def client_result(self, client: str, result: str) -> None:
        """`served`, `limited` or `refused`."""
        ...

    def counting(self, outcome: Outcome, tier: Tier, status: int) -> Count:
        """What says `requested`, and `client_result` of one served, of each such answer: the
        short way of a hit, for which nothing has to be looked up."""
        ...

    def call_started(self, purpose: Purpose) -> None:
        """A call goes upstream."""
        ...

    def call_ended(
        self, purpose: Purpose, status: int | None, seconds: float, trace: bytes | None = None
    ) -> None:
        """A call ended, with a status or without an answer; `trace` is the id of one that is
        sampled."""
        ...

    def upstream_failed(self, reason: FailureReason, training_id: str, what: str) -> None:
        """A call brought no answer of the API."""
        ...

    def token_refused(self, scope: str) -> None:
        """The upstream said 401 to the gateway's own token of that scope."""
        ...

    def circuit_moved(self, state: Circuit) -> None:
        """The upstream's breaker changed its state."""
        ...

    def mode_moved(self, mode: Mode) -> None:
        """All replicas are to serve in another mode."""
        ...

    def budget_denied(self, purpose: Purpose, retry_after: float) -> None:
        """A call was not made for lack of budget."""
        ...

    def budget_waited(self, purpose: Purpose, seconds: float) -> None:
        """A call waited so long for its turn."""
        ...

    def gate_closed(self, scope: str, seconds: float) -> None:
        """The upstream said 429."""
        ...

    def gate_opened(self, scope: str) -> None:
        """The upstream answers again."""
        ...

    def stored(self, key: Key, verdict: StoreVerdict) -> None:
        """An entry was stored, for the first time, changed or renewed."""
        ...

    def not_stored(self, key: Key, reason: NotStoredReason) -> None:
        """An answer was not stored."""
        ...

    def invalidated(
        self, cause: Cause, training_id: str, count: int = 1, by: Origin = Origin.UPSTREAM
    ) -> None:
        """Entries became invalid; `*` for what concerns no single training."""
        ...

    def outdated(self, key: Key) -> None:
        """Another replica stored a later version than the one held here."""
        ...

    def fetched(
        self,
        key: Key,
        purpose: Purpose,
        status: int,
        verdict: StoreVerdict | NotStoredReason | None,
    ) -> None:
        """A fetch brought an answer that was stored, or not; None: it was passed on alone."""
        ...

    def fetch_failed(self, key: Key, purpose: Purpose, why: str) -> None:
        """A fetch brought nothing, or was not made."""
        ...

    def swept(self, key: Key, found: str) -> None:
        """The sweep saw it in the upstream's list, and what that says of it (ListVerdict)."""
        ...

    def sweep_ended(self, tenant: str, complete: bool, trainings: int) -> None:
        """The list was gone through; `complete`: it agreed with itself all the while."""
        ...

    def sweep_off(self, tenant: str, why: str, seconds: float | None) -> None:
        """The list is left alone for so long (None: for good); all tenants' where it is ""."""
        ...

    def filling_stopped(self, tenant: str, taken_back: int) -> None:
        """The list's bytes are not those of single answers: what was stored of them goes."""
        ...

    def bound_stated(self, tenant: str, seconds: float, *, trainings: int | None) -> None:
        """No answer is older than that; without `trainings` nobody looks ahead."""
        ...

    def sweep_too_slow(
        self, tenant: str, seconds: float, *, trainings: int, lifetime: float
    ) -> None:
        """The bound that settings allow for so many trainings is beyond the freshness lifetime."""
        ...

    def lagged(self, seconds: float) -> None:
        """A new version is served so long after its `updated_at`."""
        ...

    def payload_rejected(self, reason: InvalidReason, training_id: str, what: str) -> None:
        """A body is no training."""
        ...

    def drifted(self, kind: DriftKind, field_name: str) -> None:
        """A body differs from its documentation and was taken all the same."""
        ...

    def regressed(self, training_id: str) -> None:
        """An older version than the floor's came from upstream."""
        ...

    def evicted(self, tier: Tier) -> None:
        """An entry was removed for space."""
        ...

    def redis_timed(self, operation: RedisOperation, seconds: float) -> None:
        """Redis answered."""
        ...

    def redis_failed(self, operation: RedisOperation, why: str) -> None:
        """Redis did not answer, or nonsense."""
        ...

    def bus_failed(self, why: str) -> None:
        """A message on the bus made no sense, or could not be acted upon."""
        ...

    def redis_moved(self, up: bool, node: str = "") -> None:
        """Redis, or where it has several nodes that one, went away or came back."""
        ...

    def envelope_refused(self, why: str) -> None:
        """What Redis held under a key of ours is no entry that we can read."""
        ...

    def access_refused(self, reason: AccessRefusal, request_id: str = "") -> None:
        """A caller was turned away; the id where one request is known for it."""
        ...

    def refresh_failed(self, key: Key, why: str, again_in: float) -> None:
        """A background refresh failed and backs off so many seconds."""
        ...
