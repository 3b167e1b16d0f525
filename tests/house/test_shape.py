"""The shape that style asks for: one concept a file, small functions, names that say something."""

from __future__ import annotations

import ast
import warnings

import pytest

from tests.house.sources import sources

MADE = [*sources(), *sources("dashboards")]
LISTED_FROM = 400  # lines; a longer file may still be one concept, so a human decides
FUNCTION_LINES = 50
NAMELESS = {"utils", "util", "helpers", "common", "base", "manager", "service", "misc"}


@pytest.mark.filterwarnings("default")
def test_long_files_are_listed_for_a_human() -> None:
    """A bound on lines rewards splitting a concept, so a long file is listed and does not fail."""
    long = [
        f"{each.path} has {each.text.count(chr(10))} lines"
        for each in [*MADE, *sources("tests")]
        if each.text.count("\n") > LISTED_FROM
    ]

    if long:
        warnings.warn("is each of these one concept? " + ", ".join(long), stacklevel=1)


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
