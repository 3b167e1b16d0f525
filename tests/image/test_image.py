"""The image holds the gateway and nothing else, and runs with no right at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import gateway
from tests.delivery.release import image_bill
from tests.image.containers import BASE, HARDENED, IMAGE, SOURCE, Container, Store
from tests.support.servers import ROOT, wait_until

LOCK = (ROOT / "requirements-otlp.lock").read_text()
SIMULATOR = "http://127.0.0.1:8090"
DATA, ADMIN = "http://127.0.0.1:8080", "http://127.0.0.1:8081"
TRAINING = f"{DATA}/training/trn_000001"
# What the drain takes by default, and 13 seconds.
GRACE = 43


@pytest.fixture(scope="module")
def upstream(store: Store) -> Iterator[Container]:
    """The simulator, from the same image, on a loopback interface that is all the network."""
    with store.run("upstream", "--network", "none", *HARDENED, command=("simulate",)) as container:
        container.await_ready(f"{SIMULATOR}/_control/stats")
        yield container


@pytest.fixture(scope="module")
def running(store: Store, upstream: Container) -> Iterator[Container]:
    """The gateway as the image starts it, in the simulator's network."""
    options = ("--network", f"container:{upstream.name}", *HARDENED)
    # Without a sweep, so that each training costs the call that a test holds.
    quiet = "SWEEP__PARTITIONS=0"
    settings = (f"UPSTREAM__BASE_URL={SIMULATOR}", "UPSTREAM__TIMEOUT=60s", quiet)
    environment = [f"--env=GATEWAY_{setting}" for setting in settings]
    with store.run("gateway", *options, *environment) as container:
        container.await_ready(f"{ADMIN}/readyz")
        yield container


def in_flight(upstream: Container) -> int:
    """How many calls the simulator is at."""
    _, stats = upstream.ask(f"{SIMULATOR}/_control/stats")
    return int(json.loads(stats)["in_flight"])


def test_it_answers(running: Container) -> None:
    """A miss is fetched, the next answer is a hit, and the health check is content."""
    first, second = running.ask(TRAINING), running.ask(TRAINING)
    _, status = running.ask(f"{ADMIN}/metrics")

    assert first[0] == 200
    assert first == second
    assert 'gateway_requests_total{outcome="fresh",status="2xx",tier="l1"} 1.0' in status
    running.check_health()


def test_it_has_no_right(running: Container) -> None:
    """User 65532, no capability, no new privilege, and nothing to write to but /tmp."""
    status = running.exec("cat", "/proc/1/status")
    places = "find / -xdev -writable -not -type l -not -path '/proc/*' -not -path '/dev/*'"
    writable = running.exec("sh", "-c", f"{places} 2>/dev/null || true")

    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["65532"] * 4
    assert facts["Gid"].split() == ["65532"] * 4
    assert {facts[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert facts["NoNewPrivs"] == "1"
    assert [path for path in writable.split() if not path.startswith(("/tmp", "/var/tmp"))] == []


def test_it_holds_nothing_that_is_not_needed(running: Container) -> None:
    """No compiler, no uv, no tests, no lock; bytecode for each module."""
    found = running.exec(
        "sh", "-c", "find /opt /etc/gateway /src /build -type f 2>/dev/null || true"
    )
    tools = "for name in cc gcc g++ clang ld make uv hatchling git curl; do command -v $name; done"
    files = found.splitlines()

    assert running.exec("sh", "-c", f"{tools} || true") == ""
    assert [path for path in files if not path.startswith("/opt/gateway/")] == [
        "/etc/gateway/gateway.toml"
    ]
    modules = {path for path in files if "/site-packages/gateway/" in path and path.endswith(".py")}
    compiled = [path for path in files if "/site-packages/gateway/" in path and ".pyc" in path]
    assert len(compiled) == len(modules) > 100
    assert not [path for path in files if "/tests/house/" in path or path.endswith(".lock")]


def test_it_holds_no_secret(store: Store) -> None:
    """Neither its variables nor its history say more than where things lie."""
    told = store.inspect(IMAGE)
    variables = {each.partition("=")[0] for each in told["Config"]["Env"]}
    base = {each.partition("=")[0] for each in store.inspect(BASE)["Config"]["Env"]}

    assert variables - base == {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "GATEWAY_CONFIG"}
    history = " ".join(str(each) for each in told["History"]).lower()
    assert not [word for word in ("token", "password", "index-url") if word in history]


def test_it_says_what_it_is(store: Store) -> None:
    """User, entry point and version; the gateway's own layer is small."""
    told = store.inspect(IMAGE)
    config = told["Config"]

    assert config["User"] == "65532:65532"
    assert (config["Entrypoint"], config["Cmd"]) == (["gateway"], ["serve"])
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == gateway.__version__
    assert labels["org.opencontainers.image.source"] == SOURCE
    assert labels["org.opencontainers.image.documentation"] == f"{SOURCE}/docs"
    assert told["Size"] - store.inspect(BASE)["Size"] < 80 * 10**6


def test_its_bill_lists_what_is_in_it(store: Store, tmp_path: Path) -> None:
    """The gateway, each pin of the lock that holds for every Python, and what the base brings."""
    bill = json.loads(image_bill(store.save(tmp_path), tmp_path).read_text())

    listed = {(each["name"], each.get("version")) for each in bill["components"]}
    pins = re.findall(r"^([a-z0-9-]+)==(\S+) \\$", LOCK, re.MULTILINE)
    assert len(pins) > 20
    assert {(name.replace("_", "-").lower(), version) for name, version in listed} >= set(pins)
    assert ("training-gateway", gateway.__version__) in listed
    assert {"python3", "libc6", "ca-certificates"} <= {name for name, _ in listed}


def test_at_last_it_drains_on_sigterm(running: Container, upstream: Container) -> None:
    """Who waits for an answer gets it, and the process ends by itself within its grace."""
    upstream.ask(f"{SIMULATOR}/_control/fault", '{"mode": "held"}')
    with ThreadPoolExecutor() as beside:
        caller = beside.submit(upstream.ask, f"{DATA}/training/trn_000002")
        wait_until(lambda: in_flight(upstream) == 1, 60, "the call is under way")
        stopping = beside.submit(running.stop, GRACE)
        wait_until(lambda: "gateway.draining" in running.logs(), 60, "the gateway drains")
        assert not caller.done()
        upstream.ask(f"{SIMULATOR}/_control/fault", method="DELETE")

        assert caller.result(60)[0] == 200
        assert stopping.result(60) == 0
    assert "gateway.stopped" in running.logs()
