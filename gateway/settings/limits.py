"""The section `limits`: its settings, their types, defaults and effects, as in `schema`."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.kinds import Count, PositiveDuration, Size
from gateway.settings.section import Section


class LimitsSettings(Section):
    """What callers may ask of a connection, on both planes."""

    max_head: Size = Field(
        default=16 * 1024, description="the largest request head, request line included; else 431"
    )
    max_fields: Count = Field(
        default=100, description="the most fields that a request head may have; else 431"
    )
    max_connections: Count = Field(
        default=10_000,
        description="of each plane; beyond it 503 and closed, a tenth beyond it closed at once",
    )
    head_timeout: PositiveDuration = Field(
        default=10.0,
        description="a request head is complete so soon after the connection or its own first "
        "byte; else 408",
    )
    write_timeout: PositiveDuration = Field(
        default=30.0, description="a caller that takes nothing of an answer for so long is cut off"
    )
    idle_timeout: PositiveDuration = Field(
        default=75.0, description="a connection may rest so long between two requests"
    )
