"""The source as the house tests see it: modules by dotted name, parsed, never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the root, its dotted name, its text and its tree."""

    path: Path
    name: str
    text: str
    tree: ast.Module

    def within(self, *names: str) -> bool:
        """Whether it is one of the modules or packages named, or lies in one."""
        return any(self.name == name or self.name.startswith(f"{name}.") for name in names)

    def imports(self) -> Iterator[str]:
        """The absolute dotted name of every module that it imports, wherever it does."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module

    def mentions(self) -> Iterator[tuple[int, str]]:
        """Line and full name of all that it takes from other modules: `time.monotonic`, ...

        Names are traced through `import x as y` and `from x import y as z`.
        """
        origins = dict(self._origins())
        for node in ast.walk(self.tree):
            name = _dotted(node)
            first, _, rest = name.partition(".")
            if first in origins:
                yield node.lineno, f"{origins[first]}.{rest}" if rest else origins[first]  # type: ignore[attr-defined]

    def _origins(self) -> Iterator[tuple[str, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    yield (alias.asname, alias.name) if alias.asname else (first, first)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.AST) -> str:
    """`a.b.c` for the expression a.b.c, nothing for an expression of another kind."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute) if inner := _dotted(value):
            return f"{inner}.{attribute}"
        case _:
            return ""


@cache
def sources(folder: str = "gateway") -> tuple[Source, ...]:
    """All Python files below a folder of the project."""
    return tuple(_read(path) for path in sorted((ROOT / folder).rglob("*.py")))


def _read(path: Path) -> Source:
    relative = path.relative_to(ROOT)
    parts = relative.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    text = path.read_text()
    return Source(relative, name, text, ast.parse(text, str(relative)))
