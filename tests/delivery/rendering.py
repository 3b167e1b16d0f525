"""The chart as Helm's own engine renders it, and the value files that it is tried with."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

from tests.delivery.chart import CHART

# The oldest that Chart.yaml allows, and the newest that is widely run.
KUBERNETES = ("1.30", "1.34")
RELEASE, NAMESPACE = "shield", "edge"
Object = dict[str, Any]
Values = dict[str, Any]

MATRIX = sorted((CHART / "ci").glob("*.yaml"))
REFUSED = sorted((CHART / "ci" / "refused").glob("*.yaml"))


def values_in(path: Path) -> Values:
    """The values of a file."""
    values: Values = yaml.safe_load(path.read_text())
    return values


def named(name: str) -> Values:
    """The values of one file of the matrix."""
    return values_in(CHART / "ci" / f"{name}.yaml")


def files(values: Mapping[str, Any]) -> dict[str, str]:
    """What each template becomes, those that become nothing left out."""
    return _files(json.dumps(values))


def objects(values: Mapping[str, Any]) -> list[Object]:
    """All objects, those of `helm test` included; shared with who asked before, to be read only."""
    return _objects(json.dumps(values))


@cache
def _files(values: str) -> dict[str, str]:
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(json.loads(values), name=RELEASE, namespace=NAMESPACE)
    return {name.partition("/")[2]: text for name, text in rendered.items() if text.strip()}


@cache
def _objects(values: str) -> list[Object]:
    texts = (text for name, text in _files(values).items() if not name.endswith("NOTES.txt"))
    documents = (each for text in texts for each in yaml.load_all(text, yaml.CSafeLoader))
    return [each for each in documents if each is not None]


def of_kind(values: Mapping[str, Any], kind: str) -> list[Object]:
    """The objects of a kind."""
    return [each for each in objects(values) if each["kind"] == kind]


def deployment(values: Mapping[str, Any]) -> Object:
    """The one Deployment."""
    (only,) = of_kind(values, "Deployment")
    return only


def container(values: Mapping[str, Any]) -> Object:
    """The gateway's container in its pods."""
    every = deployment(values)["spec"]["template"]["spec"]["containers"]
    (found,) = (each for each in every if each["name"] == "gateway")
    return dict(found)


def settings_file(values: Mapping[str, Any]) -> str:
    """The gateway.toml that the pods mount."""
    maps = of_kind(values, "ConfigMap")
    (text,) = [each["data"]["gateway.toml"] for each in maps if "gateway.toml" in each["data"]]
    tomllib.loads(text)
    return str(text)


def pods(values: Mapping[str, Any]) -> Iterator[Object]:
    """The pod specs: of the Deployment and of the tests."""
    yield deployment(values)["spec"]["template"]["spec"]
    yield from (pod["spec"] for pod in of_kind(values, "Pod"))
