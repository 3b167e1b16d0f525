"""The API in the model of marks: trainings that are edited, deleted, restored and go back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core.cache.marks import Version
from gateway.core.instant import Instant
from tests.model.marks.records import TRAININGS, Key


@dataclass(frozen=True, slots=True)
class Reply:
    """A single answer: 200 or 404 (no version), 401, or a failure."""

    status: int
    version: Version
    moment: float


@dataclass(slots=True)
class Api:
    """All that was ever true of each training: from when, which version (None: deleted)."""

    now: Callable[[], float]
    is_down: bool = False
    refused: set[str] = field(default_factory=set)
    states: dict[int, list[tuple[float, Version]]] = field(
        default_factory=lambda: {each: [(0.0, Instant(10))] for each in TRAININGS}
    )

    def read(self, key: Key) -> Reply:
        if self.is_down:
            return Reply(503, None, self.now())
        if key.partition in self.refused:
            return Reply(401, None, self.now())
        version = self.at(key.training, self.now())
        return Reply(404 if version is None else 200, version, self.now())

    def at(self, training: int, moment: float) -> Version:
        """The version at a moment."""
        states = self.states[training]
        return next((v for since, v in reversed(states) if since <= moment), states[0][1])

    def had(self, training: int, version: Version, since: float) -> bool:
        """Whether the training had this version at that moment or later."""
        later = {each for start, each in self.states[training] if start > since}
        return version in later | {self.at(training, since)}

    def edit(self, training: int) -> None:
        self._set(training, Instant(self.latest(training) + 1))

    def delete(self, training: int) -> None:
        self._set(training, None)

    def restore(self, training: int) -> None:
        """The last version that there was, after a 404."""
        versions = [version for _, version in self.states[training] if version is not None]
        self._set(training, versions[-1])

    def go_back(self, training: int) -> None:
        """A version before the one that there is, as after a restore from a backup."""
        now = self.at(training, self.now())
        self._set(training, Instant(max(1, (now or self.latest(training)) - 1)))

    def latest(self, training: int) -> Instant:
        """The highest version that there ever was."""
        return max(version for _, version in self.states[training] if version is not None)

    def _set(self, training: int, version: Version) -> None:
        self.states[training].append((self.now(), version))
