"""The trainings of one organisation: their made-up contents, their order, and their
`updated_at`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

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
_NO_CHANGE_YET = datetime.min.replace(tzinfo=UTC)


class NoSuchTraining(LookupError):
    """The organisation has no training with this id, or has deleted it."""


class Catalogue:
    """One organisation's trainings.

    A change sets `updated_at` to the present time. From one change to the next, this time grows by
    at least a millisecond, even if the clock goes back. Only `edit` can set any other time.
    """

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
        self._last_change = _NO_CHANGE_YET
        self._last_number = size
        seeded = (self._seeded(number, size) for number in range(1, size + 1))
        self._trainings = {training.id: training for training in seeded}

    def __len__(self) -> int:
        return len(self._trainings)

    def __contains__(self, training_id: object) -> bool:
        return training_id in self._trainings

    def get(self, training_id: str) -> Training:
        """The training as it is now. Raises `NoSuchTraining`."""
        try:
            return self._trainings[training_id]
        except KeyError:
            raise NoSuchTraining(training_id) from None

    def newest_first(self) -> list[Training]:
        """All trainings, the latest `created_at` first."""
        return list(reversed(self._trainings.values()))

    def random_id(self, random: Random) -> str | None:
        """A random id, or `None` if there are no trainings."""
        return random.choice(list(self._trainings)) if self._trainings else None

    def edit(
        self, training_id: str, content: str | None = None, *, at: datetime | None = None
    ) -> Training:
        """Replace the content, and publish the training. If `content` is None, the new content is
        made up.

        `updated_at` and `published_at` become `at` (None: the usual time of a change, see the
        class).
        """
        training = self.get(training_id)
        body = as_input(training)
        text = content if content is not None else self._wording(training, training.versions + 1)
        change = TrainingInput(
            title=body.title,
            content=text,
            type=body.type,
            directory_id=body.directory_id,
            restricted_to_channels=body.restricted_to_channels,
            restricted_to_segments=body.restricted_to_segments,
        )
        return self._keep(written(training, change, at or self._time_of_change()))

    def write(self, training_id: str, body: TrainingInput) -> Training:
        """Replace the fields that `body` has. `written` says what happens to the other fields."""
        return self._keep(written(self.get(training_id), body, self._time_of_change()))

    def draft(self, training_id: str, body: DraftInput) -> Training:
        """Replace the title and the content of the draft. Of the other fields, only `updated_at`
        changes."""
        return self._keep(drafted(self.get(training_id), body, self._time_of_change()))

    def insert(self, body: TrainingInput | None = None, training_id: str | None = None) -> Training:
        """Add a training. If there is one with the id `training_id`, it is replaced. A `body` or
        `training_id` that is None is made up."""
        new_id = training_id or self._next_id()
        self._trainings.pop(new_id, None)
        at = self._time_of_change()
        blank = Training(id=new_id, title="", content="", created_at=at, updated_at=at)
        return self._keep(written(blank, body or self._invented(blank), at))

    def delete(self, training_id: str) -> Training:
        """Remove the training, and return its last state."""
        training = self.get(training_id)
        del self._trainings[training_id]
        return training

    def _keep(self, training: Training) -> Training:
        self._trainings[training.id] = training
        return training

    def _time_of_change(self) -> datetime:
        present = _rounded_down(self._now())
        self._last_change = max(present, self._last_change + _TICK)
        return self._last_change

    def _next_id(self) -> str:
        self._last_number += 1
        while _id(self._last_number) in self._trainings:
            self._last_number += 1
        return _id(self._last_number)

    def _random(self, *parts: object) -> Random:
        return Random(":".join(map(str, (self._seed, self._organisation, *parts))))

    def _wording(self, training: Training, version: int) -> str:
        mark = f"{self._organisation}/{training.id} v{version}"
        return _invented_content(self._random(training.id, version), mark)

    def _invented(self, training: Training) -> TrainingInput:
        random = self._random(training.id)
        return TrainingInput(title=_invented_title(random), content=self._wording(training, 1))

    def _seeded(self, number: int, size: int) -> Training:
        random = self._random(number)
        created = _FOUNDED + number * (_HISTORY / size)
        published = created + timedelta(milliseconds=random.randrange(1, 30 * 86_400_000))
        versions = random.randint(1, 12)
        blank = Training(
            id=_id(number),
            title=_invented_title(random),
            content="",
            type=random.choice(list(TrainingType)),
            directory_id=random.choice((None, "dir_billing", "dir_shipping")),
            restricted_to_channels=tuple(random.sample(list(Channel), random.choice((0, 0, 1, 3)))),
            restricted_to_segments=random.choice(((), (), ("vip",), ("eu", "trial"))),
            current_version=versions,
            published_at=_rounded_down(published),
            created_at=_rounded_down(created),
            updated_at=_rounded_down(published),
            versions=versions,
        )
        training = replace(blank, content=self._wording(blank, versions))
        return _with_draft_state(training, number)


def _with_draft_state(training: Training, number: int) -> Training:
    """The trainings 20, 40, … were never published. Of the others, the trainings 7, 14, … have a
    changed draft."""
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


def _rounded_down(instant: datetime) -> datetime:
    """The time, rounded down to milliseconds."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


_TOPICS = (
    "a refund after the 30-day window",
    "a parcel marked as delivered that never arrived",
    "two-factor sign-in on a new phone",
    "a double charge on the monthly invoice",
    "changing the billing address after checkout",
    "cancelling a trial before it renews",
    "exporting all data under the GDPR",
    "a voucher that is refused at the till",
    "moving a seat to another colleague",
    "a café booking for more than eight guests",
    "an outage shown on the status page",
    "a webhook that stopped firing",
)
_OPENINGS = (
    "When a customer asks about {topic}, first confirm who they are",
    "If the conversation turns to {topic}, look up the account",
    "As soon as {topic} comes up, read the last three conversations",
    "For anything about {topic}, start with the order number",
)
_STEPS = (
    "Ask for the order number, never for a full card number.",
    "Check the status page before you promise a date; say so when it is green.",
    "Offer the express option (€4.90) only within the EU and the UK.",
    'Quote the policy as "14 days from delivery", not from purchase.',
    "Apologise once, plainly, and move on to what happens next.",
    "If the amount is above 250 USD, hand over to a human colleague.",
    "Write a short summary in the ticket: what was asked, what was done, what is open.",
    "Do not mention internal tools or the names of colleagues.",
    "For customers on the Enterprise plan, copy the account manager.",
    "Answer in the customer's language; keep product names in English.",
    "When the tracking has not moved for 5 days, open an inquiry with the carrier.",
    "A refund takes 3-5 business days; with a prepaid card it can take up to 10.",
    "Send the article “How invoices work” if the question is about VAT.",
    "Never guess a password reset date: read it in the audit trail.",
    "If the same problem was reported twice within a week, raise its priority.",
    "Close with one question: is there anything else I can do today? 🙂",
)
_LENGTH = 1600


def _invented_title(random: Random) -> str:
    return f"How to handle {random.choice(_TOPICS)}"


def _invented_content(random: Random, mark: str) -> str:
    """A text of about 1.6 KB. It begins with `mark`, so texts with different marks differ."""
    lines = [f"[{mark}] {random.choice(_OPENINGS).format(topic=random.choice(_TOPICS))}."]
    while sum(map(len, lines)) < _LENGTH - len(_STEPS):
        lines.append(f"{len(lines)}. {random.choice(_STEPS)}")
    return "\n".join(lines)
