"""PromQL as the tests read it: which metrics an expression selects, and which there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import promql_parser

from dashboards.source.exported import exported, foreign
from dashboards.source.recordings import recordings

# How Grafana's variables look to a parser.
_VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", r"\$(namespace|job|pod)": ".*"}


def plain(expression: str) -> str:
    """The expression with all variables filled in, so that all replicas are meant."""
    for variable, value in _VARIABLES.items():
        pattern = variable if variable.startswith("\\") else re.escape(variable)
        expression = re.sub(pattern, value, expression)
    return expression


def selected(expression: str) -> set[str]:
    """The names of the series that it selects; ValueError where it is no PromQL."""
    return set(_names(promql_parser.parse(plain(expression))))


def summed(expression: str) -> set[str]:
    """The names of the series that it adds up as they are."""
    parts = _parts(promql_parser.parse(plain(expression)))
    sums = [part for part in parts if str(getattr(part, "op", "")) == "sum"]
    return {name for part in sums for name in _names_at(part.expr)}


@cache
def metrics() -> dict[str, set[str]]:
    """Each exported metric by its name, with the names of its series."""
    ours = {metric.name: metric.series for metric in exported()}
    return ours | {name: {name} for name in foreign()}


def known_series() -> set[str]:
    """The names of all series: exported, recorded, and what Prometheus tells of alerts."""
    recorded = {str(rule["record"]) for rule in recordings()}
    return {name for names in metrics().values() for name in names} | recorded | {"ALERTS"}


def _names(expression: Any) -> Iterator[str]:
    return (name for part in _parts(expression) for name in _names_at(part))


def _names_at(expression: Any) -> Iterator[str]:
    if isinstance(expression, promql_parser.VectorSelector):
        yield str(expression.name)
    elif isinstance(expression, promql_parser.MatrixSelector):
        yield str(expression.vector_selector.name)


def _parts(expression: Any) -> Iterator[Any]:
    """The expression and all that it is made of."""
    yield expression
    for part in ("lhs", "rhs", "expr", "args"):
        inner = getattr(expression, part, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from _parts(each)
