"""What is promised to callers, as data: how many of what, and which of them are bad.

Expressions hold `WINDOW` where a rate's window goes; they count the events of each series.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.source.queries import ASKED, HITS

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
WINDOW = "WINDOW"
# Upper bounds of buckets; the tests hold that the histograms have them.
SLOW = "1.0"
SLOW_HIT = "0.01"
# The highest bucket within freshness.lifetime + freshness.stale_while_revalidate by default: only
# a refresh that fails or does not get its turn makes answers older.
OLD = "300.0"


@dataclass(frozen=True, slots=True)
class Events:
    """The increase of a metric's series over the window."""

    metric: str
    matchers: str = ""

    def within(self, window: str, more: str = "") -> str:
        """The expression, with further matchers where the reader wants only some."""
        matchers = ",".join(filter(None, (self.matchers, more)))
        return f"increase({self.metric}{{{matchers}}}[{window}])"


@dataclass(frozen=True, slots=True)
class Objective:
    """`target` of all events are good; those that are not good are either counted (`bad`), or are
    all but the counted ones (`good`)."""

    name: str
    says: str
    target: float
    events: Events
    bad: Events | None = None
    good: Events | None = None

    @property
    def allowed(self) -> float:
        """The share that may be bad."""
        return round(1 - self.target, 6)

    def bad_within(self, window: str, by: str, more: str = "") -> str:
        """How many were bad."""
        if self.bad is not None:
            return f"sum by ({by}) ({self.bad.within(window, more)})"
        assert self.good is not None
        good = f"sum by ({by}) ({self.good.within(window, more)})"
        return f"{self.events_within(window, by, more)} - {good}"

    def events_within(self, window: str, by: str, more: str = "") -> str:
        """How many there were."""
        return f"sum by ({by}) ({self.events.within(window, more)})"


_SECONDS = "gateway_request_duration_seconds"
_AGE = "gateway_response_age_seconds"

AVAILABILITY = Objective(
    "availability",
    "requests answered, and not with a 5xx; what the caller alone is to blame for is left out",
    0.999,
    Events("gateway_requests_total", ASKED),
    bad=Events("gateway_requests_total", f'{ASKED},status="5xx"'),
)
LATENCY = Objective(
    "latency",
    "requests answered within 1 s",
    0.99,
    Events(f"{_SECONDS}_count", ASKED),
    good=Events(f"{_SECONDS}_bucket", f'{ASKED},le="{SLOW}"'),
)
HIT_LATENCY = Objective(
    "hit-latency",
    "hits answered within 10 ms",
    0.99,
    Events(f"{_SECONDS}_count", HITS),
    good=Events(f"{_SECONDS}_bucket", f'{HITS},le="{SLOW_HIT}"'),
)
FRESHNESS = Objective(
    "freshness",
    "answers that the upstream confirmed within the last 5 minutes",
    0.99,
    Events(f"{_AGE}_count"),
    good=Events(f"{_AGE}_bucket", f'le="{OLD}"'),
)
OBJECTIVES = (AVAILABILITY, LATENCY, HIT_LATENCY, FRESHNESS)
