"""`gateway status`: the state of a running gateway, for somebody who was woken by an alert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import click

from gateway.cli.admin import (
    Admin,
    duration,
    json_option,
    moment,
    plane_options,
    seconds_of,
    size,
)

if TYPE_CHECKING:
    from typing import Any

BAD = 4

_MARKS = {"bad": "BAD", "watch": "WATCH", "good": "GOOD"}
_WHOSE = {"us": "the gateway", "upstream": "the API", "redis": "Redis", "nobody": ""}
_INDENT = "       "


@click.command(
    short_help="Print what is wrong with a running gateway, and what to do.",
    epilog="""\b
Examples:
  gateway status
  gateway status --admin http://127.0.0.1:8081 --json""",
)
@plane_options
@json_option
def status(plane: Admin, as_json: bool) -> None:
    """Print what is wrong with a running gateway, since when, and what to do about it. Then print
    its mode, requests, limit, Redis and cache.

    One replica is asked. Times are in UTC, by the clock of that replica. Exit code 4: a finding is
    marked BAD.
    """
    answer, words = plane.status()
    if as_json:
        click.echo(answer.text)
    else:
        for line in readable(words, plane.address):
            click.echo(line)
    if any(each["level"] == "bad" for each in words["findings"]):
        raise click.exceptions.Exit(BAD)


def readable(words: Mapping[str, Any], address: str) -> Iterator[str]:
    """The response of /status as lines, the findings first."""
    now = seconds_of(words["time"])
    for finding in words["findings"]:
        yield from _finding(finding, now, address)
    yield ""
    rows = [
        ("replica", _replica(words)),
        ("mode", mode_words(words, now)),
        ("requests", _requests(words)),
        *((f"limit of tenant {name}", _limit(view)) for name, view in words["budgets"].items()),
        ("calls", _calls(words)),
        ("Redis", _redis(words["redis"])),
        ("L1", _l1(words["l1"])),
    ]
    width = max(len(name) for name, _ in rows)
    yield from (f"{name:<{width}}  {said}" for name, said in rows)


def _finding(finding: Mapping[str, Any], now: float, address: str) -> Iterator[str]:
    whose = _WHOSE[finding["whose"]]
    yield f"{_MARKS[finding['level']]:<{len(_INDENT)}}{finding['says']}" + (
        f" ({whose})" if whose else ""
    )
    if finding["since"] is not None:
        yield f"{_INDENT}since {moment(seconds_of(finding['since']), now)}"
    yield f"{_INDENT}{finding['do'].replace('`', '')}"
    if finding["runbook_url"] is not None:
        yield f"{_INDENT}{urljoin(f'{address}/', finding['runbook_url'])}"


def mode_words(words: Mapping[str, Any], now: float) -> str:
    """The mode, and the order that set it."""
    mode, order = words["mode"], words["mode_order"]
    said = str(mode)
    if order is not None and order["since"] is not None:
        said += f", since {moment(seconds_of(order['since']), now)}"
    if order is not None and order["by"] is not None:
        said += f", by {order['by']}"
    return said if mode == "normal" else f"{said}; to end this mode: gateway mode normal"


def _replica(words: Mapping[str, Any]) -> str:
    state = "draining" if words["draining"] else "ready" if words["ready"] else "not ready"
    return f"{state}, version {words['version']}, up {duration(words['uptime_seconds'])}"


def _requests(words: Mapping[str, Any]) -> str:
    count = sum(words["requests"].values())
    if not count:
        return "none since the start"
    share = f"{100 * words['hit_rate']:.1f} %"
    slow = words["figures"].get("request_seconds.p99")
    within = "" if slow is None else f", 99 % within {duration(slow)}"
    return f"{count:,} since the start, {share} from the cache{within}"


def _limit(view: Mapping[str, Any]) -> str:
    if view["limit"] is None:
        return "unlimited"
    said = f"{view['limit']} calls in {duration(view['window'])}, {view['available']} of them free"
    if view["gate_closed_for"] > 0:
        said += f"; the API said 429: no calls for another {duration(view['gate_closed_for'])}"
    return said


def _calls(words: Mapping[str, Any]) -> str:
    upstream = words["upstream"]
    count = sum(upstream["calls"].values())
    circuit = {"closed": "", "open": ", breaker open", "half-open": ", breaker half open"}
    return (
        f"{count:,} to the API since the start, {upstream['inflight']} under way"
        + (circuit[upstream["circuit"]])
    )


def _redis(redis: Mapping[str, Any]) -> str:
    if not redis["configured"]:
        return "none: this process is alone"
    if not redis["up"]:
        return "away"
    count = redis["replicas"]
    return f"up, used by {count} replica{'' if count == 1 else 's'} of the gateway"


def _l1(held: Mapping[str, Any]) -> str:
    return f"{held['entries']:,} entries, {size(held['bytes'])} of {size(held['max_bytes'])}"
