"""The gateway's metrics, read from the tables that it exports them by: never listed again here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import Sample
from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.telemetry.metrics import (
    COUNTS,
    GAUGES,
    OWN_GAUGES,
    TIMINGS,
    GaugeReadings,
    Metrics,
)
from gateway.adapters.telemetry.observer import Telemetry
from gateway.app.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Exported:
    """One metric, by the name that a query calls it; `labels` with the values that exist from the
    start, none where an operator's own names stand."""

    name: str
    type: str
    help: str
    labels: dict[str, list[str]]

    @property
    def series(self) -> set[str]:
        """The names under which a query finds it; a histogram's own, where Prometheus stores it as
        one sample."""
        if self.type != "histogram":
            return {self.name}
        return {self.name, *(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))}


def exported() -> list[Exported]:
    """All that begin with `gateway_`, in the order of the tables."""
    values = _label_values()
    tables = (
        *((f"{name}_total", "counter", text, labels) for name, text, labels, _ in COUNTS),
        *((name, "histogram", text, labels) for name, text, labels, _ in TIMINGS),
        *((name, "gauge", text, labels) for name, text, labels, _ in GAUGES),
        *((name, "gauge", text, labels) for name, text, labels, _ in OWN_GAUGES),
        ("gateway_build_info", "info", "Version of the gateway.", ("version",)),
    )
    return [
        Exported(name, kind, text, {label: values[name, label] for label in labels})
        for name, kind, text, labels in tables
    ]


def _label_values() -> dict[tuple[str, str], list[str]]:
    """Of each metric's label, in the order of the enum that it comes from."""
    values: dict[tuple[str, str], list[str]] = defaultdict(list)
    for sample in _scrape():
        for label, value in sample.labels.items():
            known = values[sample.name.removesuffix("_bucket"), label]
            if value and value not in known:
                known.append(value)
    return values


def foreign() -> set[str]:
    """The names that the libraries export beside ours."""
    return {sample.name for sample in _scrape() if not sample.name.startswith("gateway_")}


def _scrape() -> Iterator[Sample]:
    telemetry = Telemetry(SystemClock())
    telemetry.counters.know_clients([""])
    telemetry.counters.know_operators([""])
    telemetry.counters.know_spans()
    metrics = Metrics(telemetry.counters, telemetry.events, "", _all_unknown)
    for family in text_string_to_metric_families(b"".join(metrics.scrape()[0]).decode()):
        yield from family.samples


def _all_unknown() -> GaugeReadings:
    return GaugeReadings(ready=True, draining=False, l1_entries=0, l1_bytes=0)
