"""A collapsed miss as a collector of another project prints it: Rotel, where it is installed."""

from __future__ import annotations

import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from tests.support.servers import HOST, Process, free_port, listens, wait_until
from tests.system.commands import CALLER, Gateway, address, simulator

ROTEL = find_spec("rotel")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = {**CALLER, "traceparent": f"00-{TRACE}-{PARENT}-01"}
OUTCOME = "-> gateway.outcome: "

_FIELD = re.compile(r"^    (\w[\w ]*?) +: (.*)$", re.MULTILINE)
_OUTCOME = re.compile(rf"^     {OUTCOME}Str\((.*)\)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Printed:
    """One span in the collector's output; `outcome` of requests."""

    name: str
    trace: str
    span: str
    parent: str
    outcome: list[str]


@pytest.mark.skipif(ROTEL is None, reason="rotel is not installed; pip install rotel==0.0.1a15")
def test_two_replicas_collapse_a_miss(tmp_path: Path, redis_url: str) -> None:
    """It prints one tree with both requests."""
    port = free_port()
    with (
        collector(tmp_path, port) as rotel,
        simulator(tmp_path, "--latency", "2") as upstream,
        ThreadPoolExecutor() as callers,
    ):
        api, to = address(upstream), f"http://{HOST}:{port}"
        settings = {"GATEWAY_REDIS__URL": redis_url, "GATEWAY_TRACING__ENDPOINT": to}
        one, other = (Gateway(tmp_path, api, **settings) for _ in range(2))
        with one.process, other.process:
            leading = callers.submit(read, one)
            wait_until(lambda: in_flight(api) == 1, 10, "the leader's call")
            following = callers.submit(read, other)
            assert [leading.result(), following.result()] == [200, 200]
        # The span of a request is the last of its replica, and the outcome is near its end.
        wait_until(lambda: rotel.output.count(OUTCOME) == 2, 10, "both requests' spans")
        spans = printed(rotel.output)

    requests = {each.outcome[0]: each.span for each in spans if each.outcome}
    leader, follower = requests["filled"], requests["collapsed"]
    tree: defaultdict[str, set[str]] = defaultdict(set)
    for each in spans:
        tree[each.parent].add(each.name)
    assert {each.trace for each in spans} == {TRACE}
    assert tree == {
        PARENT: {"GET /training/{id}"},
        leader: {"lookup", "lease", "budget", "upstream", "store"},
        follower: {"lookup", "lease"},
    }


def collector(folder: Path, port: int) -> Process:
    """Rotel, which prints each span that arrives at the port, and sends it nowhere."""
    assert ROTEL is not None
    assert ROTEL.origin is not None
    return Process(
        [
            *(str(Path(ROTEL.origin).with_name("rotel-agent")), "start", "--exporter", "blackhole"),
            *("--debug-log", "traces", "--debug-log-verbosity", "detailed"),
            *("--otlp-http-endpoint", f"{HOST}:{port}"),
            *("--otlp-grpc-endpoint", f"{HOST}:{free_port()}"),
        ],
        log=folder / "rotel.log",
        ready=lambda: listens(port),
    )


def read(gateway: Gateway) -> int:
    """The status of one training, asked for within the trace."""
    url = f"{gateway.data}/training/trn_000001"
    return httpx.get(url, headers=TRACED, trust_env=False, timeout=60).status_code


def in_flight(api: str) -> int:
    """How many calls the simulator has not answered yet."""
    stats = httpx.get(f"{api}/_control/stats", trust_env=False).json()
    return int(stats["in_flight"])


def printed(output: str) -> list[Printed]:
    """All spans of Rotel's detailed output."""
    spans = []
    for text in re.split(r"^Span #\d+$", output, flags=re.MULTILINE)[1:]:
        fields = dict(_FIELD.findall(text))
        ids = (fields["Trace ID"], fields["ID"], fields["Parent ID"])
        spans.append(Printed(fields["Name"], *ids, _OUTCOME.findall(text)))
    return spans
