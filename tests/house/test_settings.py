"""A setting does something: what the schema has is read by the house outside of `settings/`."""

from __future__ import annotations

import ast

from gateway.settings.schema import KINDS
from tests.house.sources import Source, sources

HOUSE = [each for each in sources() if not each.within("gateway.settings", "gateway.simulator")]


def test_every_setting_is_read_somewhere() -> None:
    """By its name, in a module that has to do with its section: one that nobody reads would be
    documented, checked, shown, and without effect."""
    modules = [_read(source) for source in HOUSE]
    named = [name.split(".") for name in KINDS]

    unread = [
        f"{section}.{name}"
        for section, name in named
        if not any(name in read and _knows(read, section) for read in modules)
    ]

    assert unread == [], "hand them on in app/compose or app/run"


def _read(source: Source) -> set[str]:
    """The attributes that it reads, and the names that it uses."""
    return {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _knows(read: set[str], section: str) -> bool:
    return section in read or f"{section.capitalize()}Settings" in read
