"""What is wrong with the settings, one line a fault. No judging here, and never a secret."""

from __future__ import annotations

import json
from dataclasses import dataclass

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """One setting, what is wrong with it, and what it wants instead."""

    name: str
    problem: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem} (wanted: {self.wanted})"


class SettingsFault(Exception):
    """The operator's fault: all that is wrong with the settings, in the order of the schema."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def shown(value: object) -> str:
    """A value as JSON on one line, cut short; not for secrets."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
