"""Two replicas on one Redis, watched by a real Prometheus, in ordinary traffic and in failures.

The dashboards' own queries are asked; what a query shows in a failure is read off the panel that an
operator would look at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from dashboards.source.alerts import ALERTS
from dashboards.source.overview import overview
from dashboards.source.promises import promises
from dashboards.source.recordings import recordings
from dashboards.source.used import panel_queries
from gateway.core.vocabulary import FailureReason
from tests.house.promql import plain
from tests.integration.client_files import ClientsFile
from tests.support.prometheus import PrometheusServer
from tests.support.promtool import promtool
from tests.support.servers import ROOT, RedisServer, wait_until
from tests.system.commands import TOKEN, Gateway, address, get, simulator
from tests.system.traffic import Traffic

KEY = "a-key-of-forty-three-characters-at-the-least"
IDS = [f"trn_{number:06}" for number in range(1, 21)]
MISSING = [f"trn_{number:06}" for number in range(1001, 1201)]
PATIENCE = 60.0
RULES = len(recordings()) + len(ALERTS)
RUNBOOK = (ROOT / "dashboards/RUNBOOK.md").read_text()
FEW = "another-key-of-forty-three-characters-or-so"
# Queries without a number in ordinary traffic, and what brings one. What is listed here and has a
# number all the same fails, too.
BROUGHT_BY = {
    "Alerts": "429s, until somebody is told",
    "Log lines and spans lost": "traces that are kept, and a collector that does not answer",
    "Waiting and denied": "ids that are not in the list, and a budget that is short",
}


@dataclass(frozen=True, slots=True)
class Watched:
    """Everything that runs; `tell` gives the simulator an order."""

    upstream: str
    redis: RedisServer
    gateways: list[Gateway]
    prometheus: PrometheusServer

    def tell(self, method: str, path: str, **words: object) -> None:
        """Let the upstream misbehave, or behave."""
        url = f"{self.upstream}/_control/{path}"
        answer = httpx.request(method, url, json=words or None, trust_env=False, timeout=10)
        answer.raise_for_status()

    def shows(self, title: str, holds: Callable[[float], bool]) -> bool:
        """Whether some number of that panel is such; to be waited for."""
        return any(map(holds, self.numbers(title)))

    def numbers(self, title: str) -> list[float]:
        """All that the panel shows now."""
        queries = [text for name, text in panel_queries(overview()) if name == title]
        assert queries, title
        return [value for text in queries for value in self.prometheus.query(_now(text))]

    def await_number(self, title: str) -> None:
        """Wait until no query of that panel is without a number."""
        queries = [_now(text) for name, text in panel_queries(overview()) if name == title]
        wait_until(lambda: all(map(self.prometheus.query, queries)), PATIENCE, title)

    def await_shown(self, title: str, holds: Callable[[float], bool]) -> None:
        """Wait until some number of that panel is such."""
        wait_until(lambda: self.shows(title, holds), PATIENCE, f"{title} shows it")


@pytest.fixture
def watched(tmp_path: Path, own_redis: RedisServer) -> Iterator[Watched]:
    """Simulator, Redis, two replicas with a clients file, and Prometheus."""
    tokens = {"acme": TOKEN, "small": TOKEN}
    keys = {"web": ("acme", [KEY]), "few": ("small", [FEW])}
    clients = ClientsFile(tmp_path / "clients.toml", tokens, keys)
    clients.budgets |= {"acme": "10000/minute", "small": "10/2s"}
    clients.write()
    settings = {
        "GATEWAY_REDIS__URL": own_redis.url,
        "GATEWAY_REDIS__TIMEOUT": "1s",
        "GATEWAY_FRESHNESS__LIFETIME": "1s",
        **{f"GATEWAY_{name.upper()}": value for name, value in clients.settings.items()},
    }
    with ExitStack() as stack:
        process = stack.enter_context(
            simulator(tmp_path, "--trainings", "20", "--limit", "0", "--edit-every", "0.2")
        )
        upstream = address(process)
        gateways = [Gateway(tmp_path, upstream, **settings) for _ in range(2)]
        for each in gateways:
            stack.enter_context(each.process)
        prometheus = PrometheusServer(tmp_path, [each.admin for each in gateways])
        yield Watched(upstream, own_redis, gateways, stack.enter_context(prometheus))


def test_what_happens_is_seen(watched: Watched) -> None:
    """Every query gives a number, every rule is healthy, and each failure shows on its panel."""
    traffic = Traffic([each.data for each in watched.gateways], KEY, IDS)
    with traffic:
        ordinary = _silent_panels(watched)
        with Traffic([watched.gateways[0].data], FEW, MISSING) as few:
            watched.await_number("Waiting and denied")
        _refuse_the_list(watched)
        _meet_bad_answers(watched)
        _meet_a_hung_redis(watched)
        _meet_an_outage(watched)
        _meet_429s(watched)
    wait_until(lambda: watched.prometheus.healthy_rules() == RULES, PATIENCE, "healthy rules")

    asked = traffic.statuses.total() + few.statuses.total()
    assert ordinary == set(BROUGHT_BY), "list what brings a number, or take it off the list"
    scrape = get(f"{watched.gateways[0].admin}/metrics").content
    assert promtool("check", "metrics", typed=scrape).returncode == 0
    assert [watched.prometheus.query(text) for text in _runbook_queries()]
    assert watched.prometheus.targets_down() == []
    wait_until(lambda: _counted(watched) == asked, PATIENCE, "exact counts")


def _refuse_the_list(watched: Watched) -> None:
    """The sweep is switched off: else the list confirms what no single call could."""
    watched.tell("POST", "fault", mode="list-refused")
    wait_until(lambda: not watched.numbers("Sweep"), PATIENCE, "no sweep")


def _meet_bad_answers(watched: Watched) -> None:
    """One training behind the CDN's page, one that is none, one for which the token is refused."""
    watched.tell("POST", "fault", mode="html-403", ids=[IDS[0]])
    watched.tell("POST", "fault", mode="missing-updated-at", ids=[IDS[1]])
    watched.tell("POST", "fault", mode="unauthorized", ids=[IDS[2]])
    wait_until(
        lambda: _reasons(watched) >= {"challenge", "invalid", "refused"}, PATIENCE, "all three"
    )
    watched.await_shown("Payloads", lambda number: number > 0)
    watched.await_shown("Stale answers", lambda number: number > 0)
    watched.tell("DELETE", "fault")


def _reasons(watched: Watched) -> set[str]:
    """Those for which calls failed so far."""
    known = [str(reason) for reason in FailureReason]
    failures = 'sum(gateway_upstream_failures_total{{reason="{}"}})'
    return {each for each in known if watched.prometheus.query(failures.format(each))[0] > 0}


def _meet_a_hung_redis(watched: Watched) -> None:
    """Seen as away, and as back; callers are served meanwhile."""
    watched.redis.pause()
    watched.await_shown("Redis", lambda number: number == 0)
    watched.redis.resume()
    watched.await_shown("Redis", lambda number: number == 1)


def _meet_an_outage(watched: Watched) -> None:
    """Every call fails, and the breaker opens; then closes."""
    watched.tell("POST", "fault", mode="status-503")
    watched.await_shown("Upstream", lambda number: number == 1)
    watched.tell("DELETE", "fault")
    watched.await_shown("Upstream", lambda number: number == 0)


def _meet_429s(watched: Watched) -> None:
    """The gate closes, again and again, until somebody is told."""
    watched.tell("POST", "fault", mode="rate-limited", delay=1)
    watched.await_shown("Gate", lambda number: number == 1)
    watched.await_number("Alerts")


def _silent_panels(watched: Watched) -> set[str]:
    """Those of which some query gives no number, once there are no more than are listed."""
    silent = [*panel_queries(overview()), *panel_queries(promises())]

    def are_listed() -> bool:
        silent[:] = [each for each in silent if not watched.prometheus.query(_now(each[1]))]
        return {title for title, _ in silent} <= set(BROUGHT_BY)

    with suppress(TimeoutError):
        wait_until(are_listed, PATIENCE, "numbers everywhere")
    return {title for title, _ in silent}


def _now(expression: str) -> str:
    """Over the last seconds, so that a test need not wait for minutes."""
    return plain(expression.replace("$__rate_interval", "10s").replace("$__range", "10m"))


def _runbook_queries() -> list[str]:
    return re.findall(r"^```promql\n(.*?)^```$", RUNBOOK, re.MULTILINE | re.DOTALL)


def _counted(watched: Watched) -> float:
    return sum(watched.prometheus.query("sum(gateway_requests_total)"))
