"""`gateway status` and `gateway mode`: what is printed of what a gateway says."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.web.data.writes import misplaced

TIME = "2026-01-01T10:04:07Z"
STATUS: dict[str, Any] = {
    "version": "9.8.7",
    "time": TIME,
    "findings": [
        {
            "level": "good",
            "whose": "nobody",
            "says": "Callers are served",
            "do": "Nothing to do.",
            "runbook": None,
            "runbook_url": None,
            "since": None,
        }
    ],
    "ready": True,
    "draining": False,
    "mode": "normal",
    "mode_order": None,
    "uptime_seconds": 11_520.4,
    "requests": {"fresh": 12_000, "filled": 345},
    "hit_rate": 0.972,
    "upstream": {"calls": {"miss": 345}, "inflight": 2, "circuit": "closed"},
    "figures": {"request_seconds.p99": 0.0045},
    "budgets": {"default": {"limit": 100, "available": 37, "window": 60, "gate_closed_for": 0.0}},
    "redis": {"configured": True, "up": True, "replicas": 3},
    "l1": {"entries": 1_000, "bytes": 2_150_000, "max_bytes": 67_108_864},
}
BAD = {
    "level": "bad",
    "whose": "upstream",
    "says": "The API failed again and again, and is left alone for a while",
    "do": "See `upstream.base_url`.",
    "runbook": "GatewayCircuitOpen",
    "runbook_url": "dashboards/RUNBOOK.md#gatewaycircuitopen",
    "since": "2026-01-01T10:00:00Z",
}


class Plane:
    """What stands in for an admin plane: answers by path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = deepcopy(STATUS)
        self.asked: list[tuple[str, str, bytes]] = []
        self.is_for_callers = False
        self.body: bytes | None = None
        self.code, self.json_type = 200, "application/json"

    def answer(self, request: httpx.Request) -> httpx.Response:
        """A gateway's own words, or those of its callers' port."""
        self.asked.append((request.method, request.url.path, request.content))
        if self.is_for_callers:
            problem = misplaced(request.url.raw_path, writes=True)
            kind = {"content-type": "application/problem+json"}
            return httpx.Response(problem.status, content=problem.body("1"), headers=kind)
        if self.body is not None:
            return httpx.Response(
                self.code, content=self.body, headers={"content-type": self.json_type}
            )
        if request.url.path == "/mode":
            return httpx.Response(200, json=json.loads(request.content))
        return httpx.Response(200, json=self.status)


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Plane:
    """In the place of the network."""
    plane = Plane()
    transport = httpx.MockTransport(plane.answer)

    def request(method: str, url: str, **told: Any) -> httpx.Response:
        told.pop("trust_env")
        told.pop("verify")
        with httpx.Client(transport=transport) as client:
            return client.request(method, url, **told)

    monkeypatch.setattr(httpx, "request", request)
    return plane


def run(*arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(main, [*arguments, "--admin", "http://gateway.test:8081"])


def test_a_healthy_gateway_says_so_first(plane: Plane) -> None:
    """Then how it fares, with units; exit code 0."""
    result = run("status")

    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "GOOD   Callers are served",
        "       Nothing to do.",
        "",
        "replica                  ready, version 9.8.7, up 3 h 12 min",
        "mode                     normal",
        "requests                 12,345 since the start, 97.2 % from the cache, 99 % within 4 ms",
        "limit of tenant default  100 calls in 1 min, 37 of them free",
        "calls                    345 to the API since the start, 2 under way",
        "Redis                    up, used by 3 replicas of the gateway",
        "L1                       1,000 entries, 2.1 MiB of 64 MiB",
    ]


def test_what_is_wrong_since_when_and_what_to_do(plane: Plane) -> None:
    """The worst first, whose it is, and the section of the runbook; exit code 4."""
    watch = {**BAD, "level": "watch", "whose": "redis", "says": "Redis is away", "since": None}
    plane.status["findings"] = [BAD, watch]

    result = run("status")

    assert result.exit_code == 4
    assert result.output.splitlines()[:8] == [
        "BAD    The API failed again and again, and is left alone for a while (the API)",
        "       since 10:00:00 UTC (4 min 7 s ago)",
        "       See upstream.base_url.",
        "       http://gateway.test:8081/dashboards/RUNBOOK.md#gatewaycircuitopen",
        "WATCH  Redis is away (Redis)",
        "       See upstream.base_url.",
        "       http://gateway.test:8081/dashboards/RUNBOOK.md#gatewaycircuitopen",
        "",
    ]


def test_a_runbook_that_is_published_elsewhere_is_named_there(plane: Plane) -> None:
    """As `admin.docs_url` says."""
    url = "https://docs.test/dashboards/RUNBOOK.md#gatewaycircuitopen"
    plane.status["findings"] = [{**BAD, "runbook_url": url}]

    assert run("status").output.splitlines()[3] == f"       {url}"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"ready": False}, "replica                  not ready, version 9.8.7, up 3 h 12 min"),
        ({"draining": True}, "replica                  draining, version 9.8.7, up 3 h 12 min"),
        ({"requests": {"fresh": 0}}, "requests                 none since the start"),
        ({"redis": {"configured": False}}, "Redis                    none: this process is alone"),
        ({"redis": {"configured": True, "up": False}}, "Redis                    away"),
        (
            {"redis": {"configured": True, "up": True, "replicas": 1}},
            "Redis                    up, used by 1 replica of the gateway",
        ),
        (
            {"upstream": {"calls": {}, "inflight": 0, "circuit": "open"}},
            "calls                    0 to the API since the start, 0 under way, breaker open",
        ),
        (
            {"budgets": {"a": {"limit": None, "gate_closed_for": 0.0}}},
            "limit of tenant a  unlimited",
        ),
        (
            {
                "budgets": {
                    "a": {"limit": 9, "available": 0, "window": 6.0, "gate_closed_for": 72.0}
                }
            },
            "limit of tenant a  9 calls in 6 s, 0 of them free; the API said 429: no calls for "
            "another 1 min 12 s",
        ),
    ],
)
def test_each_state_is_told(plane: Plane, changes: dict[str, Any], line: str) -> None:
    """In a line of its own."""
    plane.status |= changes

    assert line in run("status").output.splitlines()


def test_json_is_as_it_came(plane: Plane) -> None:
    """For scripts; the exit code tells the same."""
    plane.status["findings"] = [BAD]

    result = run("status", "--json")

    assert result.exit_code == 4
    assert json.loads(result.output) == plane.status


def test_the_mode_is_told_with_who_ordered_it_and_when(plane: Plane) -> None:
    """And how it ends."""
    plane.status |= {
        "mode": "frozen",
        "mode_order": {"since": "2026-01-01T10:03:55Z", "by": "on-call"},
    }
    told = (
        "frozen, since 10:03:55 UTC (12 s ago), by on-call; to end this mode: gateway mode normal"
    )

    assert run("mode").output.splitlines()[0] == f"mode {told}"
    assert f"mode                     {told}" in run("status").output.splitlines()
    assert json.loads(run("mode", "--json").output) == {
        "mode": "frozen",
        "mode_order": {"since": "2026-01-01T10:03:55Z", "by": "on-call"},
    }


def test_a_mode_of_which_nothing_else_is_known(plane: Plane) -> None:
    """Before the first order, or ordered by the release before."""
    assert run("mode").output.splitlines()[0] == "mode normal"
    plane.status |= {"mode": "frozen", "mode_order": {"since": None, "by": None}}
    assert (
        run("mode").output.splitlines()[0] == "mode frozen; to end this mode: gateway mode normal"
    )


@pytest.mark.parametrize("mode", ["normal", "frozen"])
def test_a_mode_is_ordered(plane: Plane, mode: str) -> None:
    """One request, which needs no right to read; the words say what follows."""
    result = run("mode", mode)

    assert result.exit_code == 0
    assert result.output.startswith(f"mode {mode}, from now on\n     ")
    assert [(method, path) for method, path, _ in plane.asked] == [("POST", "/mode")]
    assert json.loads(plane.asked[0][2]) == {"mode": mode}


def test_another_word_is_a_usage_error(plane: Plane) -> None:
    """The modes are named."""
    result = run("mode", "thawed")

    assert result.exit_code == 2
    assert "'frozen', 'normal'" in result.stderr
    assert plane.asked == []


def test_a_withdrawn_mode_is_told_as_withdrawn(plane: Plane) -> None:
    """The message says what to do instead, and nothing is sent."""
    result = run("mode", "bypass")

    assert result.exit_code == 2
    assert "the mode bypass went in 0.2: " in result.stderr
    assert plane.asked == []


@pytest.mark.parametrize("arguments", [("status",), ("status", "--json"), ("mode",)])
@pytest.mark.parametrize("lacks", ["time", "findings", "mode_order"])
def test_a_status_of_an_earlier_release_or_another_server_is_named_as_such(
    plane: Plane, arguments: tuple[str, ...], lacks: str
) -> None:
    """One line instead of a traceback, exit code 1: 0.1.0 sends none of these members."""
    del plane.status[lacks]

    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "http://gateway.test:8081: is not the admin address of a gateway of this version (it "
        "answers 200)\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        *(("status",), ("mode",), ("mode", "frozen")),
        *(("explain", "a"), ("explain", "a", "--json"), ("explain", "--list")),
    ],
)
@pytest.mark.parametrize("body", [b"[]", b'"ok"', b"{}", b"{", b"\xff"])
@pytest.mark.parametrize(
    ("code", "json_type"), [(200, "application/json"), (500, "application/problem+json")]
)
def test_the_json_of_another_server_is_no_traceback(
    plane: Plane, arguments: tuple[str, ...], body: bytes, code: int, json_type: str
) -> None:
    """Whatever it is, also as a problem."""
    plane.body, plane.code, plane.json_type = body, code, json_type

    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("status",), ("mode",), ("mode", "frozen"), ("explain", "a"), ("purge", "--yes")]
)
def test_the_callers_port_is_named_as_such(plane: Plane, arguments: tuple[str, ...]) -> None:
    """Not as an address where nothing is, or with the words that callers are told."""
    plane.is_for_callers = True

    result = run(*arguments)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "http://gateway.test:8081: is the port for callers; operators have another port "
        "(admin.port, 8081 unless set): name it with --admin\n"
    )


@pytest.mark.parametrize(
    ("tenants", "said"),
    [
        ({}, "There is no sweep. "),
        ({"globex": {"catalogue": 12, "list": "equal"}}, "globex: the catalogue (12 trainings) "),
        ({"globex": {"catalogue": None, "list": "behind"}}, "globex: the API answers "),
    ],
)
def test_it_is_told_who_answers_requests_for_the_list(
    plane: Plane, tenants: dict[str, Any], said: str
) -> None:
    """For each tenant, with what is known of its list; not beside a training."""
    plane.status["freshness"] = {"tenants": tenants}

    result = run("explain", "--list")

    assert result.output.startswith(said)
    assert all(f"list       {each['list']}\n" in result.output for each in tenants.values())
    assert json.loads(run("explain", "--list", "--json").output) == plane.status["freshness"]
    assert run("explain").exit_code == run("explain", "a", "--list").exit_code == 2
