"""docs/metrics.md: every metric, what it tells, and where it is looked at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from dashboards.source.exported import Exported, exported
from dashboards.source.used import users

_HEAD = """\
# Metrics

Made by `make dashboards` from the gateway's own tables and from dashboards/source.

`GET /metrics` on the admin port answers in Prometheus' text form, or as OpenMetrics where that is
asked for. Every combination of labels that can occur is there from the start, at 0. A family whose
source is missing (no Redis, no sweep, no clients file, no limit) has no series. One process is one
replica with its own `/metrics`: what all replicas share (budget, gate) is taken with `max`, the
rest is summed. `process_*` and `python_*` are prometheus-client's.

Hit rate = (`fresh` + `stale-*` + `negative`) / all but `rejected`.
"""
_FEW = 4


def catalogue() -> str:
    """The whole page."""
    return "\n".join((_HEAD, *_table(), "", "## Labels", "", *_labels_with_many(), ""))


def _table() -> Iterator[str]:
    where = users()
    yield "| metric | type | labels | tells | looked at in |"
    yield "| --- | --- | --- | --- | --- |"
    for metric in exported():
        places = ", ".join(where.get(metric.name, []))
        cells = (f"`{metric.name}`", metric.type, _labels(metric), metric.help, places)
        yield f"| {' | '.join(cells)} |"


def _labels_with_many() -> Iterator[str]:
    """A line for each label and its values, whoever has it."""
    bearers: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for metric in exported():
        for label, values in metric.labels.items():
            if len(values) > _FEW:
                bearers[label, tuple(values)].append(metric.name)
    for (label, known), names in bearers.items():
        of = ", ".join(f"`{name}`" for name in names)
        yield f"- `{label}` of {of}: {_list(known)}"


def _labels(metric: Exported) -> str:
    shown = (
        f"`{label}` = {_list(values)}" if 0 < len(values) <= _FEW else f"`{label}`"
        for label, values in metric.labels.items()
    )
    return ", ".join(shown) or "–"


def _list(values: list[str] | tuple[str, ...]) -> str:
    return " ".join(f"`{value}`" for value in values)
