"""What is wrong with the settings, one line a fault. No judging here, and never a secret."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One setting, what is wrong with it, and what it wants instead."""

    name: str
    problem: str
    wanted: str

    def __str__(self) -> str:
        line = f"{self.name}: {self.problem} (wanted: {self.wanted})"
        # Names and paths come from outside, with line breaks and worse.
        return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


class SettingsFault(Exception):
    """The operator's fault: all that is wrong with the settings, in the order of the schema."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults
