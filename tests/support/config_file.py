"""`config/gateway.toml` as people read it: each setting with its default and its effect."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parents[2] / "config" / "gateway.toml"
UNSET = "unset"
SECRET = " (secret)"
_SECTION = re.compile(r"\[(?P<section>\w+)\]")
_SETTING = re.compile(r"(?P<unset># )?(?P<name>\w+) = (?P<value>.+)")


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting by its full name; what is commented out is unset."""

    name: str
    default_text: str
    effect: str


def shown() -> list[Shown]:
    """Every setting, in the order of the file."""
    found: list[Shown] = []
    comment: list[str] = []
    section = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if match := _SECTION.fullmatch(line):
            section, comment = match["section"], []
        elif match := _SETTING.fullmatch(line):
            default = UNSET if match["unset"] else _text(match["value"])
            found.append(Shown(f"{section}.{match['name']}", default, " ".join(comment)))
            comment = []
        else:
            comment.append(line.removeprefix("# "))
    return found


def _text(literal: str) -> str:
    value = tomllib.loads(f"value = {literal}")["value"]
    return value if isinstance(value, str) else literal
