"""Which expressions stand where, and which metrics they look at."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from grafana_foundation_sdk.models import dashboard, prometheus

from dashboards.source.alerts import ALERTS
from dashboards.source.exported import exported
from dashboards.source.overview import overview
from dashboards.source.promises import promises
from dashboards.source.recordings import recordings

_NAME = re.compile(r"\bgateway_[a-z0-9_]+")


def panel_queries(board: dashboard.Dashboard) -> Iterator[tuple[str, str]]:
    """Panel's title and expression, for each query of a dashboard."""
    for panel in board.panels or []:
        for target in getattr(panel, "targets", None) or []:
            assert isinstance(target, prometheus.Dataquery)
            assert panel.title is not None
            yield panel.title, target.expr


def expressions() -> dict[str, list[str]]:
    """All of them, by the place where they stand."""
    return {
        "overview": [expression for _, expression in panel_queries(overview())],
        "objectives": [expression for _, expression in panel_queries(promises())],
        "recordings": [str(rule["expr"]) for rule in recordings()],
        "alerts": [alert.expression for alert in ALERTS],
    }


def users() -> dict[str, list[str]]:
    """For each exported metric the places that look at it."""
    found: dict[str, list[str]] = defaultdict(list)
    for place, texts in expressions().items():
        names = {name for text in texts for name in _NAME.findall(text)}
        for metric in exported():
            if metric.series & names:
                found[metric.name].append(place)
    return found
