"""What an alert is, and what it is written with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dashboards.source.queries import DEPLOYMENT
from dashboards.source.recordings import Rule

Severity = Literal["page", "ticket", "info"]
BY = f"by ({DEPLOYMENT})"
"""Where several gateways are scraped they are told apart."""


@dataclass(frozen=True, slots=True)
class Alert:
    """`lasting` is how long it must hold; `summary` is what a woken person reads first."""

    name: str
    severity: Severity
    lasting: str
    summary: str
    expression: str

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
                "runbook": f"RUNBOOK.md#{self.name.lower()}",
            },
        }


def grown(metric: str, window: str, matchers: str = "") -> str:
    """How much a counter grew in the window, all replicas together."""
    return f"sum {BY} (increase({metric}{{{matchers}}}[{window}]))"
