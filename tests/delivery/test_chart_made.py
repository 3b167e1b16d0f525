"""Nothing in the chart has drifted from where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import pytest
import yaml

import gateway
from gateway.settings import SettingsFault, load
from tests.delivery.chart import CHART, ELSEWHERE, IN_A_POD, settings
from tests.delivery.values_table import rows
from tests.support.config_file import UNSET
from tests.support.config_file import shown as settings_shown

VALUES = (CHART / "values.yaml").read_text()
DEFAULTS = yaml.safe_load(VALUES)
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
# One or more of each kind that an operator may write, sound or not.
WRITTEN: tuple[object, ...] = (
    *(
        0,
        1,
        -1,
        30,
        1.5,
        65535,
        70000,
        2_000_000,
        4_000_000_000,
        True,
        False,
        "",
        " ",
        "x y",
        "a,b",
    ),
    *("0", "0s", "0.0m", "00ms", "30", "30s", "250ms", "1.5h", ".5s", "5 m", "1w", "-3s", "007d"),
    *("0.0001ms", "0.5ms", "1ms", "0.001s", "0.0009s", "0.01h", "0.0009", "1.5ms"),
    *("1", "999B", "1000B", "1000", "0KiB"),
    *("0B", "64MiB", "1MB", "1kB", "10Mi", "1TiB", "100/minute", "5/second", "10/6s", "0/minute"),
    *("unlimited", "100", "auto", "true", "false", "deny", "forward", "open", "shared", "info"),
    *("policy", "origin", "respect", "limited", "background", "json", "passthrough", "warning"),
    *("127.0.0.1", "::1", "localhost", "host:80", "-x", "https://a.example", "https://u@a.example"),
    *("http://a.example/x?y", "ftp://a.example", "gateway", "a:b-c.d_e", "{a}", "x" * 65),
    *([], ["X-Tenant"], ["X-A", "X-A"], ["x y"], [1], {}),
)
# Sound by its form, and refused by the gateway for what it means. A list, because a value may be a
# list or a table, which has no hash.
STRICTER: list[tuple[str, object]] = [
    (f"{plane}.host", host)
    for plane in ("server", "admin")
    for host in ("host:80", "a:b-c.d_e", "x" * 65)
] + [("sweep.enabled", True), ("sweep.enabled", "true")]
CLASHES = "is above upstream.timeout"


def test_the_version_has_one_home() -> None:
    """The chart's, the image's and the package's are gateway.__version__."""
    with helm_python.Chart.load(CHART) as chart:
        metadata = chart.metadata

    assert (metadata["version"], metadata["appVersion"]) == (gateway.__version__,) * 2


def test_every_setting_is_a_value_or_excused() -> None:
    """`config` has each setting with its default; what it lacks is set by another value."""
    shown = {f"{section}.{name}": value for section, table in DEFAULTS["config"].items()
             for name, value in table.items()}  # fmt: skip
    defaults = {each.name: each.default_text for each in settings_shown()}

    assert shown.keys() | ELSEWHERE.keys() == defaults.keys()
    assert not shown.keys() & ELSEWHERE.keys()
    for name, value in shown.items():
        if name not in IN_A_POD:
            text = value if isinstance(value, str) else json.dumps(value)
            assert (UNSET if value is None else text) == defaults[name]
    tops = {name.partition(".")[0] for name in ELSEWHERE.values()}
    assert tops <= DEFAULTS.keys()


def test_the_schema_has_exactly_the_values() -> None:
    """A value without a schema would be refused, a schema without a value never be found."""
    assert _paths(SCHEMA) - {("global",)} == _keys(DEFAULTS)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_is_closed_at_every_level() -> None:
    """A misspelt name is refused wherever it stands."""
    for path in _paths(SCHEMA):
        form = SCHEMA
        for name in path[:-1]:
            form = form["properties"][name]
            assert form["additionalProperties"] is False, path
    assert SCHEMA["additionalProperties"] is False


def test_every_value_says_what_it_does() -> None:
    """It, or what it lies in, has a comment; the README's table is made of them."""
    told = {row.path for row in rows(VALUES) if row.effect}

    silent = [row.path for row in rows(VALUES)
              if not any(row.path[:n] in told for n in range(1, len(row.path) + 1))
              and not any(path[: len(row.path)] == row.path for path in told)]  # fmt: skip
    assert silent == []


@pytest.mark.parametrize("name", [info.name for info in settings()])
def test_helm_refuses_what_the_gateway_would(name: str, tmp_path: Path) -> None:
    """For each form that a value may have, the chart's schema and the loader say the same."""
    section, _, key = name.partition(".")
    form = SCHEMA["properties"]["config"]["properties"][section]["properties"][key]
    judge = jsonschema.Draft202012Validator({**form, "$defs": SCHEMA["$defs"]})

    differ = [
        written
        for written in WRITTEN
        if judge.is_valid(written) != _loads(name, written, tmp_path)
        and (name, written) not in STRICTER
    ]

    what_to_do = (
        "describe the setting's parser in tests/delivery/forms (_BY_PARSER), or add to STRICTER"
    )
    assert differ == [], what_to_do


def _loads(name: str, written: object, folder: Path) -> bool:
    """Whether the gateway takes the value; what it contradicts is not asked."""
    section, _, key = name.partition(".")
    text = f"[{section}]\n{key} = {json.dumps(written)}\n"
    file = folder / "gateway.toml"
    file.write_text(text)
    try:
        load(file, {})
    except SettingsFault as fault:
        return not any(each.name == name and CLASHES not in each.problem for each in fault.faults)
    return True


def _keys(values: dict[str, Any], *above: str) -> set[tuple[str, ...]]:
    return {
        path
        for name, value in values.items()
        for path in (
            _keys(value, *above, name)
            if isinstance(value, dict) and _is_open((*above, name)) is None
            else {(*above, name)}
        )
    }


def _is_open(path: tuple[str, ...]) -> bool | None:
    """Whether anything may stand below; None where the schema lists it."""
    form = SCHEMA
    for name in path:
        form = form["properties"][name]
    return None if "properties" in form else True


def _paths(form: dict[str, Any], *above: str) -> set[tuple[str, ...]]:
    if "properties" not in form:
        return {above}
    return {
        path for name, inner in form["properties"].items() for path in _paths(inner, *above, name)
    }
