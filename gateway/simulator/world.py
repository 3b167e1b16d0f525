"""The state of one simulator while it runs: what the API reads and the control side changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from random import Random

from gateway.simulator.catalogue import Catalogue
from gateway.simulator.config import DEMO_ORGANISATION, SimulatorConfig
from gateway.simulator.faults import FaultBoard
from gateway.simulator.journal import Journal
from gateway.simulator.keys import KeyRing
from gateway.simulator.limiter import Limiter
from gateway.simulator.training import DraftInput


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
