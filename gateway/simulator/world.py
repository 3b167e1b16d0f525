"""The state of one simulator: its configuration, its calls and its trainings."""

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
    """The configuration of one simulator. Durations are in seconds. None turns a feature off."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port."""
    trainings: int = 1000
    """How many trainings each organisation has at the start."""
    keys: Mapping[str, str] = field(default_factory=lambda: {DEMO_TOKEN: DEMO_ORGANISATION})
    """The organisation of each bearer token. An order that names no organisation is for the
    organisation of the first token."""
    forbidden: frozenset[str] = frozenset()
    """Trainings with these ids are forbidden: calls for them with an accepted key get a 403."""
    limit: int | None = 100
    """The most calls of a key in a window. None: calls are counted, and never refused."""
    window: float = 60.0
    retry_after: RetryAfter = RetryAfter.SECONDS
    latency: float = 0.0
    jitter: float = 0.0
    """The longest random time that is added to the latency."""
    edit_every: float = 0.0
    """Seconds between edits of random trainings (0: no edits)."""
    revision: Revision = Revision.CURRENT
    etag: ETagForm = ETagForm.NONE
    last_modified: bool = False
    cache_control: str | None = None
    cookie: bool = True
    """Whether answers have a CDN's `Set-Cookie`, with a new value each time."""
    keep_alive: float = 75.0
    seed: int = 1


_KEPT_REQUESTS = 1000
NO_KEY = "none"


@dataclass(slots=True)
class _Counts:
    endpoint: Counter[str] = field(default_factory=Counter)
    status: Counter[str] = field(default_factory=Counter)
    training_id: Counter[str] = field(default_factory=Counter)
    key: Counter[str] = field(default_factory=Counter)
    in_flight_max: int = 0


class Journal:
    """Counts every call to the API, and remembers the newest thousand calls."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._counts = _Counts()
        self._last: deque[RequestRecord] = deque(maxlen=_KEPT_REQUESTS)

    @contextmanager
    def counted(self, call: Call, now: float) -> Iterator[None]:
        """Count the call. It is in flight while the `with` block runs. `now` is monotonic."""
        self._note(call, now)
        self.in_flight += 1
        self._counts.in_flight_max = max(self._counts.in_flight_max, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1

    def answered(self, status: int | None) -> None:
        """Count an answer before it is sent. `status` is None if the call gets no answer."""
        self._counts.status["none" if status is None else str(status)] += 1

    def last_requests(self) -> list[RequestRecord]:
        """The newest thousand calls, oldest first."""
        return list(self._last)

    def stats(self, limiter: Limiter) -> Stats:
        """The counts so far, with those of the limiter."""
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
        """Begin all counts again from 0, and forget the remembered calls. Calls in flight still
        count as in flight."""
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
    """The organisation of an accepted key, and what calls with the key may do."""

    organisation: str
    scope: Scope = Scope.FULL


class KeyRing:
    """The keys that are accepted. A revoked key is like an unknown one."""

    def __init__(self, organisations: Mapping[str, str]) -> None:
        self._keys = {token: Key(organisation) for token, organisation in organisations.items()}

    def get(self, token: str | None) -> Key | None:
        """The organisation and the scope of the key `token` (None: the key is not accepted)."""
        return None if token is None else self._keys.get(token)

    def add(self, token: str, key: Key) -> None:
        """Accept the key `token`. If it is accepted already, change its organisation and scope."""
        self._keys[token] = key

    def revoke(self, token: str) -> None:
        """Stop accepting a key."""
        self._keys.pop(token, None)


class World:
    """The whole state of one simulator.

    Some orders replace `config` by a changed copy of it. In each copy, `limit`, `window`, `keys`
    and `edit_every` still have their first values. Their current values are in the attributes
    `limiter`, `keys` and `editor`.
    """

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
        """The trainings of an organisation (None: the organisation of the first configured key).
        They are made when they are first asked for."""
        name = organisation or self.organisation
        if name not in self._catalogues:
            size, seed = self.config.trainings, self.config.seed
            self._catalogues[name] = Catalogue(name, size=size, seed=seed)
        return self._catalogues[name]

    def catalogues(self) -> Iterable[Catalogue]:
        """The trainings of all organisations."""
        return self._catalogues.values()

    def latency(self) -> float:
        """Seconds to wait before the next answer."""
        return self.config.latency + self.config.jitter * self.random.random()


class Editor:
    """Edits a random training every `every` seconds (0: never)."""

    def __init__(self, world: World, every: float) -> None:
        self._world = world
        self._every = every
        self._changed = asyncio.Event()

    def change(self, every: float) -> None:
        """Change the time between edits."""
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
        """Change a random training: its content, or in a quarter of the cases its draft."""
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
