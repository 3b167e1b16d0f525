"""One training as its owner keeps it. Lives here: its fields and how each change alters them.

Must not: when it happens (catalogue) or how it looks on the wire (revisions).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class TrainingType(StrEnum):
    """Always active, or matched by meaning."""

    BEHAVIORAL = "BEHAVIORAL"
    SCENARIO_SPECIFIC = "SCENARIO_SPECIFIC"


class Channel(StrEnum):
    """The documented channels."""

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
    """What `POST /training` and `PUT /training/{id}` take."""

    title: _Text
    content: _Text
    type: TrainingType = TrainingType.SCENARIO_SPECIFIC
    is_draft: bool = False
    directory_id: str | None = None
    restricted_to_channels: tuple[Channel, ...] = ()
    restricted_to_segments: tuple[str, ...] = ()


class DraftInput(msgspec.Struct, frozen=True, kw_only=True):
    """What `PUT /training/{id}/draft` takes."""

    title: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The fourteen documented fields, and how many versions were ever published."""

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
    """The training after a full write at `at`: published, or turned into an unpublished draft."""
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
    """The training after its draft changed: `updated_at` moves, the published version stands."""
    return replace(training, draft_title=body.title, draft_content=body.content, updated_at=at)


def as_input(training: Training) -> TrainingInput:
    """The write that would leave the training as it is."""
    return TrainingInput(
        title=training.title,
        content=training.content,
        type=training.type,
        is_draft=training.is_draft,
        directory_id=training.directory_id,
        restricted_to_channels=training.restricted_to_channels,
        restricted_to_segments=training.restricted_to_segments,
    )
