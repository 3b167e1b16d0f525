"""The shape that style asks for: one concept a file, small functions, names that say something."""

from __future__ import annotations

import ast

from tests.house.sources import sources

MADE = [*sources(), *sources("dashboards")]
FUNCTION_LINES = 50
NAMELESS = {"utils", "util", "helpers", "common", "base", "manager", "service", "misc"}


def test_no_function_is_long() -> None:
    """A function fits on a screen: 50 lines with its docstring."""
    found = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in [*MADE, *sources("tests")]
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]

    assert found == []


def test_modules_are_named_after_their_concept() -> None:
    """No module is called by a word that would fit any of them."""
    found = [
        str(source.path)
        for source in [*MADE, *sources("tests")]
        if NAMELESS & set(source.path.with_suffix("").parts[-1].split("_"))
    ]

    assert found == []


def test_every_module_says_what_lives_there() -> None:
    """Each module of the gateway, and of what makes its dashboards, opens with a docstring."""
    assert [str(each.path) for each in MADE if not ast.get_docstring(each.tree)] == []
