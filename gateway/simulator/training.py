"""One training: its fields, its changes, and its JSON in each revision of the schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import msgspec

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class TrainingType(StrEnum):
    """A `BEHAVIORAL` training always applies, a `SCENARIO_SPECIFIC` one if it fits the
    conversation."""

    BEHAVIORAL = "BEHAVIORAL"
    SCENARIO_SPECIFIC = "SCENARIO_SPECIFIC"


class Channel(StrEnum):
    """The channels that the API's documentation names."""

    WEB = "web"
    EMAIL = "email"
    PHONE_VOICE = "phone_voice"
    SLACK = "slack"
    SMS = "sms"
    WHATSAPP = "whatsapp"
    INSTAGRAM = "instagram"
    MESSENGER = "messenger"
    API = "api"
    WEB_VOICE = "web_voice"


class TrainingInput(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /training` and `PUT /training/{id}`."""

    title: _Text
    content: _Text
    type: TrainingType = TrainingType.SCENARIO_SPECIFIC
    is_draft: bool = False
    directory_id: str | None = None
    restricted_to_channels: tuple[Channel, ...] = ()
    restricted_to_segments: tuple[str, ...] = ()


class DraftInput(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `PUT /training/{id}/draft`."""

    title: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The fourteen fields that the API's documentation names, and the number of published
    versions."""

    id: str
    title: str
    content: str
    draft_title: str | None = None
    draft_content: str | None = None
    type: TrainingType = TrainingType.SCENARIO_SPECIFIC
    is_draft: bool = False
    directory_id: str | None = None
    restricted_to_channels: tuple[Channel, ...] = ()
    restricted_to_segments: tuple[str, ...] = ()
    current_version: int | None = None
    published_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    versions: int = 0


def written(training: Training, body: TrainingInput, at: datetime) -> Training:
    """The training after a `POST` or `PUT` of this body at the time `at`.

    If `body.is_draft`, the training is a draft, otherwise it is published. `draft_title` and
    `draft_content` become None.
    """
    versions = training.versions + (not body.is_draft)
    return replace(
        training,
        title=body.title,
        content=body.content,
        draft_title=None,
        draft_content=None,
        type=body.type,
        is_draft=body.is_draft,
        directory_id=body.directory_id,
        restricted_to_channels=body.restricted_to_channels,
        restricted_to_segments=body.restricted_to_segments,
        current_version=None if body.is_draft else versions,
        published_at=None if body.is_draft else at,
        updated_at=at,
        versions=versions,
    )


def drafted(training: Training, body: DraftInput, at: datetime) -> Training:
    """The training after a change of its draft. `updated_at` changes too."""
    return replace(training, draft_title=body.title, draft_content=body.content, updated_at=at)


def as_input(training: Training) -> TrainingInput:
    """The training's present values, as the body of a `PUT`."""
    return TrainingInput(
        title=training.title,
        content=training.content,
        type=training.type,
        is_draft=training.is_draft,
        directory_id=training.directory_id,
        restricted_to_channels=training.restricted_to_channels,
        restricted_to_segments=training.restricted_to_segments,
    )


Document = dict[str, object]


class Revision(StrEnum):
    """The revisions of the schema."""

    QUESTION_ANSWER = "question-answer"
    EARLY = "early"
    CURRENT = "current"
    METADATA = "metadata"
    TYPELESS = "typeless"
    NEW_CHANNEL = "new-channel"
    ODD_FORM = "odd-form"
    """The values of `current`, written differently: names in another order, more spaces, other
    escapes, and 3.0 in place of 3."""


def document(training: Training, revision: Revision) -> Document:
    """The training as a JSON object of this revision."""
    return _FORMS[revision](_current(training))


def encode(value: object, revision: Revision) -> bytes:
    """The bytes of a document, or of a page, as this revision writes JSON."""
    if revision is Revision.ODD_FORM:
        return json.dumps(value, indent=1, separators=(" , ", " : ")).encode()
    return msgspec.json.encode(value)


def instant(moment: datetime) -> str:
    """The time in RFC 3339, with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _current(training: Training) -> Document:
    return {
        "id": training.id,
        "title": training.title,
        "content": training.content,
        "draft_title": training.draft_title,
        "draft_content": training.draft_content,
        "type": training.type.value,
        "is_draft": training.is_draft,
        "directory_id": training.directory_id,
        "restricted_to_channels": [channel.value for channel in training.restricted_to_channels],
        "restricted_to_segments": list(training.restricted_to_segments),
        "current_version": training.current_version,
        "published_at": instant(training.published_at) if training.published_at else None,
        "created_at": instant(training.created_at),
        "updated_at": instant(training.updated_at),
    }


def _as_is(form: Document) -> Document:
    return form


def _early(form: Document) -> Document:
    later = {"draft_title", "draft_content", "current_version", "published_at"}
    return {name: value for name, value in form.items() if name not in later}


def _question_answer(form: Document) -> Document:
    renamed = {"title": "question", "content": "answer"}
    return {renamed.get(name, name): value for name, value in _early(form).items()}


def _metadata(form: Document) -> Document:
    free = {"source": "import", "reviewed": True, "weight": 1.50}
    return form | {"metadata": free, "start_time": form["created_at"], "end_time": None}


def _typeless(form: Document) -> Document:
    return {name: value for name, value in form.items() if name != "type"}


def _new_channel(form: Document) -> Document:
    return form | {"restricted_to_channels": ["web", "carrier_pigeon"]}


def _odd_form(form: Document) -> Document:
    version = form["current_version"]
    odd = form | {"current_version": float(version) if isinstance(version, int) else None}
    return dict(reversed(odd.items()))


_FORMS: dict[Revision, Callable[[Document], Document]] = {
    Revision.QUESTION_ANSWER: _question_answer,
    Revision.EARLY: _early,
    Revision.CURRENT: _as_is,
    Revision.METADATA: _metadata,
    Revision.TYPELESS: _typeless,
    Revision.NEW_CHANNEL: _new_channel,
    Revision.ODD_FORM: _odd_form,
}
