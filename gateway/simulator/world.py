"""The state of one simulator: what it is started with, what it was asked, and what the API reads
and the control side changes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from gateway.simulator.answers import ETagForm
from gateway.simulator.catalogue import Catalogue
from gateway.simulator.control import RequestRecord, Scope, Stats
from gateway.simulator.faults import Call, FaultBoard
from gateway.simulator.limiter import Limiter, RetryAfter
from gateway.simulator.training import DraftInput, Revision

DEMO_TOKEN = "demo-token"
DEMO_ORGANISATION = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Everything that shapes one simulator; durations in seconds, zero or `None` switches off."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free port."""
    trainings: int = 1000
    """How many each organisation starts with."""
    keys: Mapping[str, str] = field(default_factory=lambda: {DEMO_TOKEN: DEMO_ORGANISATION})
    """Bearer token to organisation; the first one's organisation is what `/_control` means."""
    forbidden: frozenset[str] = frozenset()
    """Ids that answer 403 whoever asks."""
    limit: int | None = 100
    """Calls per key and window; `None` counts but never refuses."""
    window: float = 60.0
    retry_after: RetryAfter = RetryAfter.SECONDS
    latency: float = 0.0
    jitter: float = 0.0
    """Added to the latency, evenly from none to all of it."""
    edit_every: float = 0.0
    """Seconds between edits of random trainings."""
    revision: Revision = Revision.CURRENT
    etag: ETagForm = ETagForm.NONE
    last_modified: bool = False
    cache_control: str | None = None
    cookie: bool = True
    """A CDN's `Set-Cookie`, different on each answer."""
    keep_alive: float = 75.0
    """How long an idle connection stays open."""
    seed: int = 1


_KEPT = 1000
NO_KEY = "none"


@dataclass(slots=True)
class _Counts:
    endpoint: Counter[str] = field(default_factory=Counter)
    status: Counter[str] = field(default_factory=Counter)
    training_id: Counter[str] = field(default_factory=Counter)
    key: Counter[str] = field(default_factory=Counter)
    in_flight_max: int = 0


class Journal:
    """Counts every call to the API and keeps the last thousand."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._counts = _Counts()
        self._last: deque[RequestRecord] = deque(maxlen=_KEPT)

    @contextmanager
    def flight(self, call: Call, now: float) -> Iterator[None]:
        """Count the call from its arrival to its end; `now` monotonic."""
        self._note(call, now)
        self.in_flight += 1
        self._counts.in_flight_max = max(self._counts.in_flight_max, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1

    def answered(self, status: int | None) -> None:
        """Count an answer as it is about to be sent, or that there is none."""
        self._counts.status["none" if status is None else str(status)] += 1

    def last_requests(self) -> list[RequestRecord]:
        """The last thousand requests, oldest first."""
        return list(self._last)

    def stats(self, limiter: Limiter) -> Stats:
        """The counts so far, with the limiter's."""
        counts = self._counts
        return Stats(
            requests=counts.endpoint.total(),
            by_endpoint=dict(counts.endpoint),
            by_status=dict(counts.status),
            by_id=dict(counts.training_id),
            by_key=dict(counts.key),
            in_flight=self.in_flight,
            in_flight_max=counts.in_flight_max,
            fullest_window=limiter.fullest_accepted(),
            fullest_window_asked=limiter.fullest_asked(),
            rate_limited=counts.status["429"],
        )

    def reset(self) -> None:
        """Count anew; what is in flight stays so."""
        self._counts = _Counts(in_flight_max=self.in_flight)
        self._last.clear()

    def _note(self, call: Call, now: float) -> None:
        self._counts.endpoint[call.endpoint] += 1
        self._counts.key[call.token or NO_KEY] += 1
        if call.training_id is not None:
            self._counts.training_id[call.training_id] += 1
        record = RequestRecord(
            method=call.method,
            path=call.path,
            headers=[(name.lower(), value) for name, value in call.headers.items()],
            at=now,
            key=call.token,
        )
        self._last.append(record)


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is in force."""

    organisation: str
    scope: Scope = Scope.FULL


class KeyRing:
    """The keys in force; a revoked one is as unknown as one that never was."""

    def __init__(self, organisations: Mapping[str, str]) -> None:
        self._keys = {token: Key(organisation) for token, organisation in organisations.items()}

    def get(self, token: str | None) -> Key | None:
        """The key of this token, if it is in force."""
        return None if token is None else self._keys.get(token)

    def add(self, token: str, key: Key) -> None:
        """Put a key in force, or change it."""
        self._keys[token] = key

    def revoke(self, token: str) -> None:
        """Take a key out of force."""
        self._keys.pop(token, None)


class World:
    """Everything that one simulator knows; `config` is what holds now, replaced as a whole."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.faults = FaultBoard()
        self.journal = Journal()
        self.keys = KeyRing(config.keys)
        self.limiter = Limiter(config.limit, config.window)
        self.random = Random(config.seed)
        self.editor = Editor(self, config.edit_every)
        self.organisation = next(iter(config.keys.values()), DEMO_ORGANISATION)
        self._catalogues: dict[str, Catalogue] = {}
        for organisation in (self.organisation, *config.keys.values()):
            self.catalogue(organisation)

    def catalogue(self, organisation: str | None = None) -> Catalogue:
        """The trainings of an organisation (the first key's), founded when first asked for."""
        name = organisation or self.organisation
        if name not in self._catalogues:
            size, seed = self.config.trainings, self.config.seed
            self._catalogues[name] = Catalogue(name, size=size, seed=seed)
        return self._catalogues[name]

    def catalogues(self) -> Iterable[Catalogue]:
        """The trainings of all organisations."""
        return self._catalogues.values()

    def latency(self) -> float:
        """Seconds that the next answer takes."""
        return self.config.latency + self.config.jitter * self.random.random()


class Editor:
    """Edits a random training of some organisation every `every` seconds; 0 rests."""

    def __init__(self, world: World, every: float) -> None:
        self._world = world
        self._every = every
        self._changed = asyncio.Event()

    def change(self, every: float) -> None:
        """Another pace, from now on."""
        self._every = every
        self._changed.set()

    async def run(self) -> None:
        """Edit until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), self._every or None)
                self._changed.clear()
            except TimeoutError:
                self.edit_one()

    def edit_one(self) -> None:
        """Publish new content of a random training, or, one time in four, change its draft."""
        random = self._world.random
        catalogue = random.choice(list(self._world.catalogues()))
        training_id = catalogue.random_id(random)
        if training_id is None:
            return
        if random.randrange(4) == 0:
            text = f"A better wording, perhaps number {random.randrange(1000)}."
            catalogue.draft(training_id, DraftInput(content=text))
        else:
            catalogue.edit(training_id)
