"""What an alert is, and what it is written with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Literal

from dashboards.source.queries import DEPLOYMENT, REPLICA
from dashboards.source.recordings import Rule

Severity = Literal["critical", "warning", "info"]
BY = f"by ({DEPLOYMENT})"
"""Where several gateways are scraped they are told apart."""
BY_REPLICA = f"by ({DEPLOYMENT}, {REPLICA})"

# Where they are published: `runbook_url` and `dashboard_url` begin so. The chart has values too.
RUNBOOK: Final = os.environ.get("RUNBOOK_URL", "RUNBOOK.md")
GRAFANA: Final = os.environ.get("GRAFANA_URL", "")


@dataclass(frozen=True, slots=True)
class Alert:
    """`lasting` is how long it must hold; `summary` is what a woken person reads first;
    `dashboard` is the uid of the one to look at."""

    name: str
    severity: Severity
    lasting: str
    summary: str
    expression: str
    dashboard: str = "gateway-overview"

    @property
    def rule(self) -> Rule:
        """As Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.lasting,
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "runbook_url": f"{RUNBOOK}#{self.name.lower()}",
                "dashboard_url": f"{GRAFANA}/d/{self.dashboard}",
            },
        }


def grown(metric: str, window: str, matchers: str = "", by: str = BY) -> str:
    """How much a counter grew in the window; by default all replicas together."""
    chosen = f"{{{matchers}}}" if matchers else ""
    return f"sum {by} (increase({metric}{chosen}[{window}]))"
