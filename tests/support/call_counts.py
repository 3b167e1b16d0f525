"""What some code does, counted: figures that do not depend on the machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


def entering(action: Callable[[], T]) -> tuple[T, list[str]]:
    """What it brings, and the names of the gateway's functions that it enters."""
    entered: list[str] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_globals.get("__name__", "").startswith("gateway."):
            entered.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        result = action()
    finally:
        sys.setprofile(None)
    return result, entered
