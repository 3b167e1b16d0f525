"""The commands as a person starts and ends them: real processes and signals."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.test_tls import AUTHORITY, certified
from tests.support.servers import free_port, gateway, listens, wait_until
from tests.system.commands import TOKEN, Gateway, address, get, port_of, run, shell, simulator

SIGNALS = [signal.SIGTERM, signal.SIGINT]
DRAINING = [*SIGNALS, signal.SIGHUP]


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """The address of a simulator with ten trainings."""
    with simulator(tmp_path, "--trainings", "10") as process:
        yield address(process)


def test_serve_answers_until_told(tmp_path: Path, upstream: str) -> None:
    """A miss, a hit with the same bytes, and exit code 0 after the signal."""
    house = Gateway(tmp_path, upstream)
    with house.process:
        first, second = (get(f"{house.data}/training/trn_000001") for _ in range(2))
        exit_code = house.process.stop()

    assert (first.status_code, first.content) == (200, second.content)
    assert first.headers["cache-status"] == "gateway; fwd=uri-miss; fwd-status=200; stored"
    assert second.headers["cache-status"].startswith("gateway; hit; ttl=")
    assert exit_code == 0


@pytest.mark.parametrize("told", DRAINING)
def test_serve_finishes_what_is_in_flight(
    tmp_path: Path, upstream: str, told: signal.Signals
) -> None:
    """A request that waits for upstream when the signal comes is answered, then the exit is 0."""
    shell(f'curl -sf -d \'{{"mode": "held"}}\' {upstream}/_control/fault')
    house = Gateway(tmp_path, upstream)
    command = ["curl", "-s", "-H", f"Authorization: Bearer {TOKEN}"]
    with house.process:
        caller = subprocess.Popen(
            [*command, f"{house.data}/training/trn_000001"], stdout=subprocess.PIPE
        )
        wait_until(lambda: _in_flight(upstream) == 1, 30, "the call upstream")
        house.process.child.send_signal(told)
        wait_until(lambda: "gateway.draining" in house.process.output, 30, "the draining")
        shell(f"curl -sf -X DELETE {upstream}/_control/fault")
        exit_code = house.process.wait(30)
        body, _ = caller.communicate(timeout=30)

    assert exit_code == 0
    assert b'"id":"trn_000001"' in body


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGHUP])
def test_a_second_signal_ends_a_drain_at_once(
    tmp_path: Path, upstream: str, second: signal.Signals
) -> None:
    """A drain of an hour ends by the second signal, whichever it is."""
    house = Gateway(tmp_path, upstream, GATEWAY_SERVER__DRAIN_DELAY="1h")
    with house.process:
        house.process.child.send_signal(signal.SIGTERM)
        wait_until(lambda: "gateway.draining" in house.process.output, 30, "the draining")
        time.sleep(1)  # what comes within 20 ms is the same wish

        exit_code = house.process.stop(by=second)

    assert exit_code == -second


def test_signals_that_come_together_are_one(tmp_path: Path, upstream: str) -> None:
    """A supervisor that signals the process and its group at once gets a drain."""
    house = Gateway(tmp_path, upstream, GATEWAY_SERVER__DRAIN_DELAY="1s")
    with house.process:
        house.process.pause()
        house.process.child.send_signal(signal.SIGTERM)
        house.process.child.send_signal(signal.SIGHUP)
        house.process.resume()
        exit_code = house.process.wait(30)

    assert exit_code == 0


def test_nohup_holds(tmp_path: Path, upstream: str) -> None:
    """A SIGHUP that is ignored from the start neither ends nor drains the process."""
    house = Gateway(tmp_path, upstream)
    house.process.command[:0] = ["nohup"]
    with house.process:
        house.process.child.send_signal(signal.SIGHUP)
        answer = get(f"{house.data}/training/trn_000001")
        exit_code = house.process.stop()

    assert (answer.status_code, exit_code) == (200, 0)
    assert house.process.output.count("gateway.draining") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_serve_needs_no_standard_streams(tmp_path: Path, upstream: str, closed: str) -> None:
    """As with `nohup gateway serve <&-`: it drains and exits with 0, and does not abort."""
    house = Gateway(tmp_path, upstream)
    house.process.command[:0] = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    with house.process:
        answer = get(f"{house.data}/training/trn_000001")
        exit_code = house.process.stop()

    assert (answer.status_code, exit_code) == (200, 0)


def _in_flight(upstream: str) -> object:
    return httpx.get(f"{upstream}/_control/stats", trust_env=False, timeout=30).json()["in_flight"]


def test_serve_names_a_port_in_use(tmp_path: Path, upstream: str) -> None:
    """What cannot be started is a line that names the setting, and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        exit_code, output = run(
            "serve",
            folder=tmp_path,
            GATEWAY_UPSTREAM__BASE_URL=upstream,
            GATEWAY_SERVER__PORT=port,
            GATEWAY_ADMIN__PORT="0",
        )

    assert exit_code == 1
    assert f"server.port: cannot listen on 127.0.0.1:{port}" in output
    assert "Traceback" not in output


def test_check_is_content_where_all_is_there(tmp_path: Path, upstream: str) -> None:
    """Settings and connections are said to be fine, with exit code 0 and no call spent."""
    house = Gateway(tmp_path, upstream)

    exit_code, output = run("check", folder=tmp_path, **house.settings)

    assert exit_code == 0
    assert output == (
        "settings: ok\nconnections: ok\nnot checked: whether upstream.base_url is the training "
        "API, and whether it accepts callers' tokens (this would need calls to the API)\n"
    )
    stats = httpx.get(f"{upstream}/_control/stats", trust_env=False, timeout=30).json()
    assert stats["fullest_window"].get(TOKEN, 0) == 0


def test_no_keys_of_tls_are_written(tmp_path: Path, upstream: str) -> None:
    """By neither side of a connection, although the environment names a file for them."""
    keys, authority = tmp_path / "keys", tmp_path / "authority.crt"
    AUTHORITY.cert_pem.write_to_path(str(authority))
    tls = {
        f"GATEWAY_{name.upper()}": value for name, value in certified(tmp_path, "server").items()
    }
    api = Gateway(tmp_path, upstream, SSLKEYLOGFILE=str(keys), **tls)
    house = Gateway(
        tmp_path,
        api.data.replace("http:", "https:"),
        GATEWAY_UPSTREAM__CA_CERTS=str(authority),
        SSLKEYLOGFILE=str(keys),
    )

    with api.process:
        exit_code, output = run("check", folder=tmp_path, **house.settings)

    assert (exit_code, "connections: ok" in output) == (0, True)
    assert not keys.exists()


def test_a_setting_with_one_underscore_is_warned_about(tmp_path: Path, upstream: str) -> None:
    """At the start and by `check`, with the name meant; what Kubernetes sets is not."""
    variables = {"GATEWAY_LOG_LEVEL": "error", "GATEWAY_SERVER_PORT": "tcp://10.0.0.1:80"}
    house = Gateway(tmp_path, upstream, **variables)

    _, checked = run("check", folder=tmp_path, **house.settings)
    with house.process:
        pass  # a thread writes the log: only at the end all lines are surely there
    lines = house.process.output.splitlines()

    warned = [json.loads(line) for line in lines if "settings.ignored" in line]
    assert [(each["variable"], each["meant"]) for each in warned] == [
        ("GATEWAY_LOG_LEVEL", "GATEWAY_LOG__LEVEL")
    ]
    assert "GATEWAY_LOG_LEVEL: is ignored (did you mean GATEWAY_LOG__LEVEL?)" in checked
    assert "GATEWAY_SERVER_PORT" not in checked


def test_check_warns_of_ports_that_are_open_or_closed_to_everybody(
    tmp_path: Path, upstream: str
) -> None:
    """Both are allowed, so the exit code stays 0; on loopback there is nothing to warn of."""
    access = {"GATEWAY_ACCESS__MODE": "open", "GATEWAY_UPSTREAM__TOKEN": "t"}
    settings = Gateway(tmp_path, upstream, **access).settings
    wide = {"GATEWAY_SERVER__HOST": "0.0.0.0", "GATEWAY_ADMIN__HOST": "0.0.0.0"}

    _, said_on_loopback = run("check", folder=tmp_path, **settings)
    exit_code, said = run("check", folder=tmp_path, **dict(settings) | wide)

    assert exit_code == 0
    warnings = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert [line.split()[1] for line in warnings] == ["admin.token:", "access.mode:"]
    assert "warning" not in said_on_loopback


def test_check_names_what_is_not_there(tmp_path: Path) -> None:
    """Upstream and Redis away are one line each, and exit code 1."""
    house = Gateway(tmp_path, "http://127.0.0.1:9", GATEWAY_REDIS__URL="redis://127.0.0.1:9")

    exit_code, output = run("check", folder=tmp_path, **house.settings)

    names = [line.partition(": ")[0] for line in output.splitlines()]
    assert names == ["settings", "upstream.base_url", "redis.url"]
    assert exit_code == 1


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_health_is_that_of_the_gateway_of_these_settings(
    tmp_path: Path, upstream: str, is_tls: bool
) -> None:
    """Found where it listens on all addresses, too; a line and exit code 1 once it is gone."""
    tls = certified(tmp_path, "admin") if is_tls else {}
    house = Gateway(
        tmp_path,
        upstream,
        GATEWAY_ADMIN__HOST="0.0.0.0",
        **{f"GATEWAY_{name.upper()}": value for name, value in tls.items()},
    )
    process = gateway(
        "serve",
        log=tmp_path / "serve.log",
        ready=lambda: listens(port_of(house.admin)),
        settings=house.settings,
    )
    with process:
        alive = run("health", folder=tmp_path, **house.settings)
    exit_code, output = run("health", folder=tmp_path, **house.settings)

    assert alive == (0, "")
    assert (exit_code, output.count("\n")) == (1, 1)
    assert f":{port_of(house.admin)} does not answer" in output


def test_a_fault_in_a_file_that_changed_since_the_start_makes_nobody_unhealthy(
    tmp_path: Path, upstream: str
) -> None:
    """The gateway goes on with the version before, and must not be started again."""
    house = Gateway(tmp_path, upstream)
    broken = tmp_path / "clients.toml"
    broken.write_text("no TOML")
    faults = {
        "GATEWAY_ACCESS__MODE": "clients",
        "GATEWAY_ACCESS__CLIENTS_FILE": str(broken),
        "GATEWAY_ADMIN__TOKEN_FILE": str(tmp_path / "gone"),
        "GATEWAY_SERVER__PORT": "none",
    }
    with house.process:
        assert run("health", folder=tmp_path, **{**house.settings, **faults}) == (0, "")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("port", "none"), ("host", "a b"), ("tls_cert", "")],
)
def test_health_names_a_fault_in_the_address(tmp_path: Path, setting: str, value: str) -> None:
    """The default would be the address of another gateway, or of none."""
    variable = f"GATEWAY_ADMIN__{setting.upper()}"
    exit_code, output = run("health", folder=tmp_path, **{variable: value})

    assert (exit_code, output.count("\n")) == (1, 1)
    assert output.startswith(f'admin.{setting}: "{value}" is not')


def test_check_tells_a_port_that_is_taken_from_a_wrong_setting(
    tmp_path: Path, upstream: str
) -> None:
    """While the gateway runs its own ports are taken: that is said, and the settings are fine."""
    house = Gateway(tmp_path, upstream)
    with house.process:
        taken = {"GATEWAY_ADMIN__PORT": house.admin.rpartition(":")[2]}
        exit_code, output = run("check", folder=tmp_path, **{**house.settings, **taken})

    assert exit_code == 1
    assert output.splitlines()[0] == "settings: ok"
    assert "admin.port: cannot listen on" in output
    assert "a gateway that runs already, or another program" in output


def test_explain_reads_a_running_gateway(tmp_path: Path, upstream: str) -> None:
    """The stored training is explained, and neither its content nor the credential shown."""
    house = Gateway(tmp_path, upstream)
    with house.process:
        content = get(f"{house.data}/training/trn_000001").json()["content"]
        exit_code, output = run("explain", "trn_000001", "--admin", house.admin, folder=tmp_path)

    assert exit_code == 0
    assert output.startswith("trn_000001: stored, fresh for another ")
    assert output.endswith(f"What the words mean: {house.admin}/docs/glossary.md\n")
    assert "freshness_lifetime" in output
    assert content[:40] not in output
    assert TOKEN not in output


def test_explain_shows_the_admin_token(tmp_path: Path, upstream: str) -> None:
    """The token of the environment opens a guarded admin plane. Without it, or with a wrong one, a
    line says so. Where nobody asked, the gateway knows of nothing, and is a gateway still."""
    house = Gateway(
        tmp_path,
        upstream,
        GATEWAY_ADMIN__TOKEN="right",
        GATEWAY_ACCESS__MODE="open",
        GATEWAY_UPSTREAM__TOKEN=TOKEN,
        GATEWAY_SWEEP__ENABLED="false",  # the sweep would store it
    )
    command = ("explain", "trn_000001", "--admin", house.admin)
    with house.process:
        right = run(*command, folder=tmp_path, GATEWAY_ADMIN__TOKEN="right")
        wrong = run(*command, folder=tmp_path, GATEWAY_ADMIN__TOKEN="wrong")
        none = run(*command, folder=tmp_path)

    assert (right[0], wrong[0], none[0]) == (0, 1, 1)
    assert right[1].startswith("trn_000001: nothing is stored")
    assert "does not accept the admin token that was sent" in wrong[1]
    assert "needs the admin token" in none[1]


def test_the_port_of_the_environment_says_which_gateway(tmp_path: Path, upstream: str) -> None:
    """The one that `gateway serve` listens on with it; an order must not go to another."""
    house = Gateway(tmp_path, upstream)
    port = str(httpx.URL(house.admin).port)
    with house.process:
        exit_code, output = run("purge", "--yes", folder=tmp_path, GATEWAY_ADMIN__PORT=port)
        elsewhere = run("purge", "--yes", folder=tmp_path, GATEWAY_ADMIN__PORT=str(free_port()))

    assert (exit_code, "1 of 1" in output) == (0, True)
    assert elsewhere[0] == 1
    assert "nothing listens there" in elsewhere[1]


@pytest.mark.parametrize("told", SIGNALS)
def test_simulate_runs_until_told(tmp_path: Path, told: signal.Signals) -> None:
    """It prints its address, answers there, and ends with 0."""
    with simulator(tmp_path, "--trainings", "3", "--key", "mine=us") as process:
        url = address(process)
        body = shell(f"curl -sf -H 'Authorization: Bearer mine' {url}/training/trn_000003")
        exit_code = process.stop(by=told)

    assert '"id":"trn_000003"' in body
    assert exit_code == 0


def test_simulate_names_a_port_in_use(tmp_path: Path, upstream: str) -> None:
    """A second one on the same port is a line and exit code 1."""
    port = str(port_of(upstream))

    exit_code, output = run("simulate", "--port", port, folder=tmp_path)

    assert exit_code == 1
    assert output == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
