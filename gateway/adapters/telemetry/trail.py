"""The verbs that are about one training alone: its journal hears of them, no metric does."""

from __future__ import annotations

from contextlib import suppress

from gateway.adapters.telemetry.journal import Journal
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import NotStoredReason, Origin, Purpose, StoreVerdict
from gateway.ports import Clock


class Trail:
    """A part of the Observer; never raises."""

    def __init__(self, clock: Clock) -> None:
        self.journal = Journal(clock)

    def outdated(self, key: Key) -> None:
        self.note(key.training_id, "entry.outdated", key.partition, by=Origin.REPLICA)

    def fetched(
        self,
        key: Key,
        purpose: Purpose,
        status: int,
        verdict: StoreVerdict | NotStoredReason | None,
    ) -> None:
        told = {"purpose": purpose, "status": status}
        if isinstance(verdict, NotStoredReason):
            self.note(key.training_id, "entry.not-stored", key.partition, **told, reason=verdict)
        else:
            self.note(key.training_id, "entry.fetched", key.partition, **told, verdict=verdict)

    def fetch_failed(self, key: Key, purpose: Purpose, why: str) -> None:
        self.note(key.training_id, "fetch.failed", key.partition, purpose=purpose, why=why)

    def swept(self, key: Key, found: str) -> None:
        # A sweep comes past all there are, again and again: what is known stays known.
        if self.journal.knows_or_has_room(key.training_id):
            self.note(key.training_id, "entry.swept", key.partition, found=found)

    def note(self, training_id: str, event: str, partition: str | None, **fields: object) -> None:
        """Remember what happened to a training, `*` for all of them."""
        with suppress(Exception):
            self.journal.note(training_id, event, partition, **fields)
