"""What all tests share: real servers, Hypothesis without deadlines, and no skipping in CI."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support import bad_day, redis_acl
from tests.support.redis_cluster import ClusterServers, cluster
from tests.support.servers import RedisServer

# The machine may be busy; an example that is slow now and then is no fault.
# In CI the same commit has the same examples: new ones are looked for by developers and drills.
hypothesis.settings.register_profile(
    "house",
    deadline=None,
    print_blob=True,
    max_examples=40,
    derandomize=os.environ.get("CI") == "true",
)
# A hundred times as much: with tests/fuzz about an hour, see `make fuzz`.
hypothesis.settings.register_profile("long", deadline=None, print_blob=True, max_examples=4_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


# By name, then by folder: files are handed out to processes in this order, so that none of them is
# left with a long one when the others have nothing to do.
_LONGEST_FIRST = (("test_torture.py", "test_soak.py"), ("system", "integration", "fuzz"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest comes first. With --full, only what has a full scale is left, and has half
    an hour."""
    if config.getoption("full"):
        items[:] = filter(_has_full_scale, items)
        for item in items:
            item.add_marker(pytest.mark.timeout(1_800))
    items.sort(key=lambda item: tuple(_place(item.path, each) for each in _LONGEST_FIRST))


def _place(path: Path, longest: tuple[str, ...]) -> int:
    return next((n for n, name in enumerate(longest) if name in path.parts), len(longest))


def _has_full_scale(item: pytest.Item) -> bool:
    return "drills" in item.path.parts or "full" in getattr(item, "fixturenames", ())


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of our own."""
    parser.addoption(
        "--full",
        action="store_true",
        help="run only the tests that have a full scale, at that scale",
    )
    parser.addoption(
        "--clocks-apart",
        action="store_true",
        help="let replicas of tests/integration run on machines whose clocks are minutes apart",
    )
    parser.addoption(
        "--documented-acl",
        action="store_true",
        help="give gateways the user of Redis that SECURITY.md documents, who may do no more",
    )
    parser.addoption(
        "--bad-day",
        action="store_true",
        help="keep all cores busy, and let gateways stand still for 80 ms now and then",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Take our own options."""
    redis_acl.is_documented_user = config.getoption("documented_acl")
    if config.getoption("clocks_apart"):
        from tests.integration import gateways

        gateways.clocks = itertools.cycle((300.0, -300.0, 0.0))
    if config.getoption("bad_day"):
        is_worker = hasattr(config, "workerinput")  # of xdist
        stack = contextlib.ExitStack()
        stack.enter_context(bad_day.bad_day(burns=not is_worker))
        config.add_cleanup(stack.close)


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the test runs at its full scale, as `make drills` has it."""
    return bool(request.config.getoption("full"))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the whole run; never to be killed or hung."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of the shared Redis, emptied, its replicas known for long."""
    redis_server.flush()
    redis_server.settle()
    return redis_server.url


@pytest.fixture(scope="session")
def cluster_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterServers]:
    """One cluster of three masters for the whole run; never to be killed, hung or changed."""
    with cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture
def cluster_url(cluster_servers: ClusterServers) -> str:
    """The address of the shared cluster, emptied, its replicas known for long."""
    cluster_servers.flush()
    cluster_servers.settle()
    return cluster_servers.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for this test alone, to be killed, hung, restarted."""
    with RedisServer(tmp_path) as server:
        server.settle()
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true a skipped test has failed: there, a missing server is an error."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for whole files that skip themselves."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"With CI=true this is a failure: {reason}"
