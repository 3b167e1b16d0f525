"""The demo's line of figures, from what `/status` says."""

from __future__ import annotations

import msgspec

from gateway.adapters.telemetry.counters import Counters
from gateway.adapters.telemetry.figures import figures
from gateway.core.status import Cause
from gateway.demo.figures import Status, sentence


def test_edits_seen_are_newer_versions_and_no_other_invalidation() -> None:
    """A purge or an order makes much invalid, and nobody edited anything."""
    counters = Counters()
    counters.invalidations[Cause.UPDATED_AT] = 3
    counters.invalidations[Cause.PURGE] = 1_000
    told = {"hit_rate": 0.5, "figures": figures(counters), "budgets": {}}

    assert "edits seen 3" in sentence(msgspec.convert(told, type=Status))
