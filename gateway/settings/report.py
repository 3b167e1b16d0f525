"""Settings for people: all that there are, and those in effect, secrets masked."""

from __future__ import annotations

import json
from dataclasses import dataclass

from gateway.settings.declared import DECLARED, Declared
from gateway.settings.kinds import Printable
from gateway.settings.schema import Settings

UNSET = "unset"


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting as the documentation shows it; a secret has a sibling `<name>_file`."""

    name: str
    default_text: str
    effect: str
    wanted: str
    secret: bool


def describe() -> tuple[SettingInfo, ...]:
    """Every setting, in the order of the file."""
    return tuple(
        SettingInfo(key, _default_text(each), each.effect, each.kind.wanted, each.kind.secret)
        for key, each in DECLARED.items()
    )


def effective(settings: Settings) -> dict[str, Printable]:
    """Every setting by its full name, as the file would hold it; None is unset, secrets masked."""
    return {
        key: each.kind.show(getattr(getattr(settings, each.section), each.name))
        for key, each in DECLARED.items()
    }


def changed(settings: Settings) -> dict[str, Printable]:
    """Those of them that differ from their defaults."""
    defaults = effective(Settings())
    return {key: value for key, value in effective(settings).items() if value != defaults[key]}


def _default_text(declared: Declared) -> str:
    value = None if declared.kind.unset else declared.kind.show(declared.default)
    if value is None:
        return UNSET
    return value if isinstance(value, str) else json.dumps(value)
