"""The trainings of one organisation. Lives here: their seeding, order and `updated_at`; no HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from gateway.simulator import prose
from gateway.simulator.training import (
    Channel,
    DraftInput,
    Training,
    TrainingInput,
    TrainingType,
    as_input,
    drafted,
    written,
)

_FOUNDED = datetime(2023, 6, 1, tzinfo=UTC)
_HISTORY = timedelta(days=600)
_TICK = timedelta(milliseconds=1)
_NOTHING_YET = datetime.min.replace(tzinfo=UTC)


class NoSuchTraining(LookupError):
    """The organisation has no training of this id (any more)."""


class Catalogue:
    """One organisation's trainings; every change gets an `updated_at` later than all before it."""

    def __init__(
        self,
        organisation: str,
        *,
        size: int,
        seed: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._organisation = organisation
        self._seed = seed
        self._now = now
        self._last_stamp = _NOTHING_YET
        self._issued = size
        seeded = (self._seeded(number, size) for number in range(1, size + 1))
        self._trainings = {training.id: training for training in seeded}

    def __len__(self) -> int:
        return len(self._trainings)

    def __contains__(self, training_id: object) -> bool:
        return training_id in self._trainings

    def get(self, training_id: str) -> Training:
        """The training as it stands; `NoSuchTraining` when there is none."""
        try:
            return self._trainings[training_id]
        except KeyError:
            raise NoSuchTraining(training_id) from None

    def newest_first(self) -> list[Training]:
        """All trainings by `created_at`, so that an insert shifts every row after it."""
        return list(reversed(self._trainings.values()))

    def random_id(self, random: Random) -> str | None:
        """Some id, or `None` in an empty catalogue."""
        return random.choice(list(self._trainings)) if self._trainings else None

    def edit(
        self, training_id: str, content: str | None = None, *, at: datetime | None = None
    ) -> Training:
        """Publish new content (made up when `None`), at an instant of the caller's if told."""
        training = self.get(training_id)
        body = as_input(training)
        fresh = content if content is not None else self._wording(training, training.versions + 1)
        change = TrainingInput(
            title=body.title,
            content=fresh,
            type=body.type,
            directory_id=body.directory_id,
            restricted_to_channels=body.restricted_to_channels,
            restricted_to_segments=body.restricted_to_segments,
        )
        return self._keep(written(training, change, at or self._stamp()))

    def write(self, training_id: str, body: TrainingInput) -> Training:
        """Replace what a `PUT` replaces."""
        return self._keep(written(self.get(training_id), body, self._stamp()))

    def draft(self, training_id: str, body: DraftInput) -> Training:
        """Change the draft only."""
        return self._keep(drafted(self.get(training_id), body, self._stamp()))

    def insert(self, body: TrainingInput | None = None, training_id: str | None = None) -> Training:
        """Add a training (made up when `body` is `None`) under a new or the given id."""
        new_id = training_id or self._next_id()
        self._trainings.pop(new_id, None)
        at = self._stamp()
        blank = Training(id=new_id, title="", content="", created_at=at, updated_at=at)
        return self._keep(written(blank, body or self._invented(blank), at))

    def delete(self, training_id: str) -> Training:
        """Remove the training and return it as it last was."""
        training = self.get(training_id)
        del self._trainings[training_id]
        return training

    def _keep(self, training: Training) -> Training:
        self._trainings[training.id] = training
        return training

    def _stamp(self) -> datetime:
        now = self._now()
        whole = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._last_stamp = max(whole, self._last_stamp + _TICK)
        return self._last_stamp

    def _next_id(self) -> str:
        self._issued += 1
        return _id(self._issued)

    def _random(self, *parts: object) -> Random:
        return Random(":".join(map(str, (self._seed, self._organisation, *parts))))

    def _wording(self, training: Training, version: int) -> str:
        mark = f"{self._organisation}/{training.id} v{version}"
        return prose.content(self._random(training.id, version), mark)

    def _invented(self, training: Training) -> TrainingInput:
        random = self._random(training.id)
        return TrainingInput(title=prose.title(random), content=self._wording(training, 1))

    def _seeded(self, number: int, size: int) -> Training:
        random = self._random(number)
        created = _FOUNDED + number * (_HISTORY / size)
        published = created + timedelta(milliseconds=random.randrange(1, 30 * 86_400_000))
        versions = random.randint(1, 12)
        blank = Training(
            id=_id(number),
            title=prose.title(random),
            content="",
            type=random.choice(list(TrainingType)),
            directory_id=random.choice((None, "dir_billing", "dir_shipping")),
            restricted_to_channels=tuple(random.sample(list(Channel), random.choice((0, 0, 1, 3)))),
            restricted_to_segments=random.choice(((), (), ("vip",), ("eu", "trial"))),
            current_version=versions,
            published_at=_whole(published),
            created_at=_whole(created),
            updated_at=_whole(published),
            versions=versions,
        )
        training = replace(blank, content=self._wording(blank, versions))
        return _with_draft(training, number)


def _with_draft(training: Training, number: int) -> Training:
    if number % 20 == 0:
        return replace(training, is_draft=True, current_version=None, published_at=None, versions=0)
    if number % 7 == 0:
        return replace(
            training,
            draft_title=f"{training.title} (new wording)",
            draft_content=f"{training.content}\nSay thank you.",
            updated_at=training.updated_at + timedelta(minutes=17),
        )
    return training


def _id(number: int) -> str:
    return f"trn_{number:06d}"


def _whole(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
