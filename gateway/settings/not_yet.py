"""Choices of the contract that this release does not have yet: refused, never ignored.

A choice that comes is one line less here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.settings.faults import Fault
from gateway.settings.schema import Settings
from gateway.settings.words import SweepWarm

_ABSENT = "is not in this release yet"


def not_yet(settings: Settings) -> Iterator[Fault]:
    """A fault for each choice that cannot be had."""
    for name, chosen, value, wanted in _CHOICES:
        if chosen(settings) is value:
            yield Fault(name, f'"{value}" {_ABSENT}', wanted)


_CHOICES: tuple[tuple[str, Callable[[Settings], object], object, str], ...] = (
    (
        "sweep.warm",
        lambda settings: settings.sweep.warm,
        SweepWarm.BEFORE_READY,
        '"background" or "off", which are one for now',
    ),
)
