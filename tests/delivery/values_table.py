"""values.yaml as a table for people: each value with its default and the comment above it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z_]\w*):(?: .*)?")
_COMMENT = re.compile(r" *# (?P<text>.+)")


@dataclass(frozen=True, slots=True)
class Row:
    """One value: its path, and the comment above it, empty where there is none."""

    path: tuple[str, ...]
    effect: str


def rows(text: str) -> Iterator[Row]:
    """Every key of a values file, in its order."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if match := _KEY.fullmatch(line):
            path[len(match["indent"]) // 2 :] = [match["name"]]
            yield Row(tuple(path), " ".join(comment))
            comment = []
        elif match := _COMMENT.fullmatch(line):
            comment.append(match["text"])
        else:
            comment = []


def table(text: str) -> str:
    """The table in Markdown; a value without a comment belongs to what it lies in."""
    values = yaml.safe_load(text)
    told = [row for row in rows(text) if row.effect]
    lines = ["| value | default | |", "| --- | --- | --- |"]
    lines += [f"| `{'.'.join(row.path)}` | {_default(values, row, told)} | {_cell(row.effect)} |"
              for row in told]  # fmt: skip
    return "\n".join(lines) + "\n"


def _default(values: object, row: Row, told: list[Row]) -> str:
    if any(other.path[: len(row.path)] == row.path != other.path for other in told):
        return ""
    for name in row.path:
        values = values.get(name) if isinstance(values, dict) else None
    return "unset" if values is None else f"`{_cell(json.dumps(values))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
