"""A setting, a metric or a field of `/explain` that no test names is told by its name.

Lists of all names do not count: a test that only says that the name is there tests no effect.
"""

from __future__ import annotations

import ast
import re

from dashboards.source.exported import exported
from gateway.settings.schema import KINDS
from tests.house.sources import sources

_LISTS = (
    *("tests.house", "tests.delivery", "tests.bench"),
    "tests.unit.adapters.telemetry.test_families",
)
_EXPLAIN = ("gateway.flow.operations.explain", "gateway.core.sweep.staleness_bound")


def _tested() -> str:
    return "\n".join(each.text for each in sources("tests") if not each.within(*_LISTS))


def test_each_setting_is_named_by_a_test() -> None:
    """By its name, as a variable of the environment, or as a member of its section."""
    tested = _tested().lower()

    untested = [
        name
        for name in KINDS
        for section, _, key in [name.partition(".")]
        if not re.search(rf"\b{section}(__|\.){key}\b|\b{key} = ", tested)
    ]

    assert untested == [], "write a test of what each of these settings does"


def test_each_metric_is_named_by_a_test() -> None:
    """As the gateway exports it, without the endings of the formats."""
    tested = _tested()

    names = {each.name for each in exported()}
    assert sorted(name for name in names if name not in tested) == []


def test_each_field_of_explain_is_named_by_a_test() -> None:
    """The keys of the dictionaries that the functions of /explain return."""
    tested = _tested()

    keys = {
        key.value
        for source in sources()
        if source.within(*_EXPLAIN)
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    assert sorted(key for key in keys if f'"{key}"' not in tested) == []
    assert len(keys) > 10
