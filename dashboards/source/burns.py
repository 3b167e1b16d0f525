"""The alerts on objectives. They stand behind the recordings that they read, in one group."""

from __future__ import annotations

from dashboards.source.alert import Alert
from dashboards.source.objectives import AVAILABILITY, FRESHNESS, HIT_LATENCY, LATENCY
from dashboards.source.promises import UID
from dashboards.source.recordings import FAST, SLOW, burns

BURNS = (
    Alert(
        "GatewayAvailabilityBurn",
        "critical",
        "2m",
        "Callers get so many 5xx that the errors allowed for a month are used up in days",
        burns(AVAILABILITY, *FAST),
        UID,
    ),
    Alert(
        "GatewayAvailabilityBurnSlow",
        "warning",
        "15m",
        "Callers get 5xx: few, but for hours or days",
        burns(AVAILABILITY, *SLOW),
        UID,
    ),
    Alert(
        "GatewayFreshnessBurn",
        "warning",
        "5m",
        "Responses are older than 5 minutes: refreshes fail, or no call is free for them",
        burns(FRESHNESS, *FAST, *SLOW),
        UID,
    ),
    Alert(
        "GatewayLatencyBurn",
        "warning",
        "5m",
        "Too many requests take longer than 1 s",
        burns(LATENCY, *FAST, *SLOW),
        UID,
    ),
    Alert(
        "GatewayHitLatencyBurn",
        "warning",
        "5m",
        "Too many hits take longer than 10 ms: the gateway or its machine is slow",
        burns(HIT_LATENCY, *FAST, *SLOW),
        UID,
    ),
)
