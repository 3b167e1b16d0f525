"""How much there is to read and to keep true: each bound may be lowered. Only a commit with a new
feature raises one, and says so.

A bound is not a target for splitting: where a change needs more, another mechanism goes.
"""

from __future__ import annotations

import ast
import re

from gateway.settings.schema import KINDS
from tests.house.sources import ROOT, Source, sources

# What `make run` and the tests need beside the gateway itself.
BESIDE = ("gateway.simulator", "gateway.demo")

LIMITS = {
    "lines of gateway/ (Python and Lua, without simulator and demo)": 28_263,
    "lines of tests/ (Python)": 69_582,
    "settings": 60,
    "words of the glossary": 28,
    "methods of the largest class": 30,
}


def weights() -> dict[str, int]:
    """Each measured number, under the words of LIMITS."""
    numbers = (
        _lines_of_the_gateway(),
        sum(each.text.count("\n") for each in sources("tests")),
        len(KINDS),
        len(re.findall(r"^## ", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)),
        max(_methods(node) for each in _gateway() for node in ast.walk(each.tree)),
    )
    return dict(zip(LIMITS, numbers, strict=True))


def test_the_weight_does_not_grow() -> None:
    """A change that needs more than this removes something first."""
    measured = weights()

    assert {what: number for what, number in measured.items() if number > LIMITS[what]} == {}


def _lines_of_the_gateway() -> int:
    python = [each.text for each in _gateway()]
    lua = [path.read_text() for path in (ROOT / "gateway").rglob("*.lua")]
    return sum(text.count("\n") for text in (*python, *lua))


def _gateway() -> list[Source]:
    return [each for each in sources() if not each.within(*BESIDE)]


def _methods(node: ast.AST) -> int:
    body = node.body if isinstance(node, ast.ClassDef) else []
    return sum(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in body)
