"""A table of settings: what holds for each, and how its values are judged, one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from gateway.settings.faults import Fault
from gateway.settings.kinds import kind_of

_LONGEST_SHOWN = 60


class Section(BaseModel):
    """A table: frozen, strict, closed; its values are read as their kinds say."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _parse(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[info.field_name or ""]
        return value if value is None else kind_of(field).parse(value)


S = TypeVar("S", bound=Section)


def judge(table: type[S], values: Mapping[str, object], place: str) -> tuple[S, list[Fault]]:
    """The table of those values that are sound, and a fault for each of the others, under its name
    behind `place`; all names are the table's, and all of its fields have defaults."""
    try:
        return table.model_validate(values), []
    except ValidationError as error:
        unsound = {str(each["loc"][0]): each for each in error.errors(include_url=False)}
    faults = []
    for name, each in unsound.items():
        kind = kind_of(table.model_fields[name])
        problem = (
            f"is not {kind.noun}" if kind.secret else f"{_shown(values[name])} is not {kind.noun}"
        )
        if each["type"] == "value_error":
            problem = str(each["ctx"]["error"]) or problem
        faults.append(Fault(f"{place}.{name}", problem, kind.wanted))
    sound = {name: value for name, value in values.items() if name not in unsound}
    return table.model_validate(sound), faults


def _shown(value: object) -> str:
    """As JSON on one line, cut short."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
