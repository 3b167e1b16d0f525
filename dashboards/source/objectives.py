"""What is promised to callers, as data: how many of what, and which of them are bad."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.source.queries import ASKED, HITS

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
# Upper bounds of buckets; the tests hold that the histograms have them.
SLOW = "1.0"
SLOW_HIT = "0.01"
# The highest bucket within freshness.lifetime + freshness.stale_while_revalidate by default: only
# a refresh that fails or does not get its turn makes answers older.
OLD = "300.0"


@dataclass(frozen=True, slots=True)
class Counted:
    """What a counter counts; those with the label `bad` are bad.

    `window` is that of a rate, `by` the labels that stay, `more` are further matchers where the
    reader wants only some.
    """

    counter: str
    matchers: str
    bad: str

    def events(self, window: str, by: str, more: str = "") -> str:
        """How many there were."""
        return _summed(by, _increase(self.counter, window, self.matchers, more))

    def bad_events(self, window: str, by: str, more: str = "") -> str:
        """How many were bad."""
        return _summed(by, _increase(self.counter, window, self.matchers, self.bad, more))


@dataclass(frozen=True, slots=True)
class Observed:
    """What a histogram observes; those above the `bound` are bad.

    Each query asks for the series of the buckets, and, where there are none, for the histogram as
    one sample: so it is stored after `convert_classic_histograms_to_nhcb`.
    """

    histogram: str
    bound: str
    matchers: str = ""

    def events(self, window: str, by: str, more: str = "") -> str:
        """How many there were."""
        return f"{self._counted(window, by, more)} or {self._native_count(window, by, more)}"

    def bad_events(self, window: str, by: str, more: str = "") -> str:
        """How many were above the bound."""
        series, bound = f"{self.histogram}_bucket", f'le="{self.bound}"'
        within = _summed(by, _increase(series, window, self.matchers, bound, more))
        share = f"histogram_fraction({self.bound}, Inf, {self._native(window, by, more)})"
        return (
            f"{self._counted(window, by, more)} - {within} "
            f"or {share} * {self._native_count(window, by, more)}"
        )

    def _counted(self, window: str, by: str, more: str) -> str:
        return _summed(by, _increase(f"{self.histogram}_count", window, self.matchers, more))

    def _native_count(self, window: str, by: str, more: str) -> str:
        return f"histogram_count({self._native(window, by, more)})"

    def _native(self, window: str, by: str, more: str) -> str:
        return _summed(by, _increase(self.histogram, window, self.matchers, more))


@dataclass(frozen=True, slots=True)
class Objective:
    """`target` is the share of the measured events that has to be good."""

    name: str
    says: str
    target: float
    measured: Counted | Observed

    @property
    def allowed(self) -> float:
        """The share that may be bad."""
        return round(1 - self.target, 6)


def _increase(series: str, window: str, *matchers: str) -> str:
    return f"increase({series}{{{','.join(filter(None, matchers))}}}[{window}])"


def _summed(by: str, expression: str) -> str:
    return f"sum by ({by}) ({expression})"


_SECONDS = "gateway_request_duration_seconds"

AVAILABILITY = Objective(
    "availability",
    "requests answered, and not with a 5xx; what the caller alone is to blame for is left out",
    0.999,
    Counted("gateway_requests_total", ASKED, bad='status="5xx"'),
)
LATENCY = Objective(
    "latency",
    "requests answered within 1 s",
    0.99,
    Observed(_SECONDS, SLOW, ASKED),
)
HIT_LATENCY = Objective(
    "hit-latency",
    "hits answered within 10 ms",
    0.99,
    Observed(_SECONDS, SLOW_HIT, HITS),
)
FRESHNESS = Objective(
    "freshness",
    "answers that the upstream confirmed within the last 5 minutes",
    0.99,
    Observed("gateway_response_age_seconds", OLD),
)
OBJECTIVES = (AVAILABILITY, LATENCY, HIT_LATENCY, FRESHNESS)
