"""PromQL as the dashboards write it: each selector has the dashboard's variables, no job's name."""

from __future__ import annotations

FILTER = 'namespace=~"$namespace",job=~"$job",pod=~"$pod"'
REPLICA = "pod, instance"
"""What tells replicas apart, in Kubernetes and elsewhere."""
DEPLOYMENT = "namespace, job"
"""What one gateway is, however many replicas it has."""
HITS = 'outcome=~"fresh|stale-.+|negative"'
ASKED = 'outcome!="rejected"'
"""All requests but those for which the caller alone is to blame."""


def unless_warming(window: str) -> str:
    """The end of an alert about errors in this window: not if the cache began empty, and was being
    filled within the window."""
    began = f"max_over_time(gateway_warming[{window}])"
    return f"unless on ({DEPLOYMENT}) min by ({DEPLOYMENT}) ({began}) == 1"


def of(metric: str, *matchers: str) -> str:
    """The series of a metric that the dashboard is about."""
    return f"{metric}{{{','.join((FILTER, *matchers))}}}"


def per_second(metric: str, *matchers: str) -> str:
    """How fast a counter grows, series by series."""
    return f"rate({of(metric, *matchers)}[$__rate_interval])"


def summed(expression: str, by: str = "") -> str:
    """Over all replicas, or for each value of the labels named."""
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def highest(expression: str, by: str = "") -> str:
    """For what all replicas share, and each tells: never summed."""
    return f"max by ({by}) ({expression})" if by else f"max({expression})"


def share(part: str, whole: str) -> str:
    """A part of a whole, from 0 to 1; 0 where there is nothing at all."""
    return f"({part} / ({whole} > 0)) or {part} * 0"


def quantile(which: float, histogram: str, *matchers: str, by: str = "") -> str:
    """The value that `which` of all stay below; of a histogram in either form."""
    buckets, whole = (per_second(name, *matchers) for name in (f"{histogram}_bucket", histogram))
    return _quantile(which, summed(buckets, f"le, {by}" if by else "le"), summed(whole, by))


def quantile_within(window: str, which: float, histogram: str) -> str:
    """The same over a window, for each gateway: as alerts ask, which know no dashboard."""
    buckets, whole = (f"rate({name}[{window}])" for name in (f"{histogram}_bucket", histogram))
    by_buckets = summed(buckets, f"{DEPLOYMENT}, le")
    return _quantile(which, by_buckets, summed(whole, DEPLOYMENT))


def _quantile(which: float, buckets: str, whole: str) -> str:
    """A histogram is stored as series of its buckets, or, after
    `convert_classic_histograms_to_nhcb`, as one sample."""
    return f"histogram_quantile({which:g}, {buckets}) or histogram_quantile({which:g}, {whole})"
