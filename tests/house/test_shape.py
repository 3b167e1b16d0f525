"""The shape that style asks for: small files, small functions, names that say something."""

from __future__ import annotations

import ast

from tests.house.sources import sources

MADE = [*sources(), *sources("dashboards")]
FILE_LINES = 250
TEST_FILE_LINES = 400  # a table of cases is long and still one concept
FUNCTION_LINES = 50
# Longer on purpose, and why.
EXCUSED = {
    "gateway/core/status.py": "the list of all words that labels, headers and logs share",
}
NAMELESS = {"utils", "util", "helpers", "common", "base", "manager", "service", "misc"}


def test_no_file_is_long() -> None:
    """A file is one concept: what is longer is excused above, and nothing else is."""
    long = {str(each.path) for each in MADE if each.text.count("\n") > FILE_LINES}
    tests = sources("tests")
    long |= {str(each.path) for each in tests if each.text.count("\n") > TEST_FILE_LINES}

    assert long == EXCUSED.keys()


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
