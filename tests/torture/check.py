"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.torture.stand import Setting, Stand


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question: `holds` is None where only a figure is asked for."""

    question: str
    holds: bool | None
    figure: str


Body = Callable[[Stand], Awaitable[list[Finding]]]


@dataclass(frozen=True, slots=True)
class Check:
    """One hard case.

    `why`: what goes wrong where it fails. `by_hand`: what shows it on a target that is held
    still, in bash and the words of `by_hand`. `is_long`: not for each run of the tests.
    """

    name: str
    why: str
    by_hand: tuple[str, ...]
    setting: Setting
    body: Body
    is_long: bool = False
