"""What `gateway serve` says when it starts: to people on a terminal, and to machines elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from gateway.settings.schema import KINDS
from tests.support.servers import free_port
from tests.system.commands import Gateway, run
from tests.system.terminal import Terminal

UPSTREAM = "http://127.0.0.1:9"
CLOSED = "admin.token-missing"


def _records(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_a_terminal_shows_changed_settings_and_the_addresses_last(tmp_path: Path) -> None:
    """Defaults are not repeated, and where to send requests stands at the end."""
    port, admin = free_port(), free_port()
    settings = {
        "GATEWAY_SERVER__PORT": str(port),
        "GATEWAY_ADMIN__PORT": str(admin),
        "GATEWAY_UPSTREAM__RATE_LIMIT": "100/minute",
    }
    with Terminal("serve", folder=tmp_path, settings=settings) as terminal:
        terminal.until(f" admin=http://127.0.0.1:{admin}\n")
        rows = terminal.shown.splitlines()
        exit_code = terminal.press_ctrl_c()

    shown = next(row for row in rows if "gateway.settings" in row)
    assert shown.split()[3:] == [f"server.port={port}", f"admin.port={admin}"]
    assert "gateway.started" in rows[-1]
    assert f"data=http://127.0.0.1:{port}" in rows[-1]
    assert exit_code == 0


def test_the_log_of_machines_has_every_setting(tmp_path: Path) -> None:
    """All effective settings in one JSON line, and no warning where nothing is wrong."""
    house = Gateway(tmp_path, UPSTREAM)
    with house.process:
        pass  # a thread writes the log: only at the end all lines are surely there
    records = _records(house.process.output)

    (settings,) = [each for each in records if each["event"] == "gateway.settings"]
    assert KINDS.keys() <= settings.keys()
    assert CLOSED not in {each["event"] for each in records}


@pytest.mark.parametrize("token", ["", "s3cret"], ids=["unset", "set"])
def test_a_plane_that_nobody_can_use_is_warned_of(tmp_path: Path, token: str) -> None:
    """On another host than loopback without a token: the log, a 401 and the commands say it."""
    settings = {"GATEWAY_ADMIN__TOKEN": token} if token else {}
    house = Gateway(tmp_path, UPSTREAM, GATEWAY_ADMIN__HOST="0.0.0.0", **settings)
    with house.process:
        refused = httpx.get(f"{house.admin}/status", trust_env=False)
        metrics = httpx.get(f"{house.admin}/metrics", trust_env=False)
        exit_code, said = run("purge", "--yes", "--admin", house.admin, folder=tmp_path)
        warned = [each for each in _records(house.process.output) if each["event"] == CLOSED]

    assert (refused.status_code, metrics.status_code, exit_code) == (401, 200, 1)
    assert ("admin.token" in refused.json()["detail"]) is not bool(token)
    assert ("no `admin.token` is configured" in said) is not bool(token)
    assert len(warned) == (0 if token else 1)
    assert all("GATEWAY_ADMIN__TOKEN" in str(each["remedy"]) for each in warned)


def test_a_port_that_is_open_to_everybody_is_warned_of(tmp_path: Path) -> None:
    """In the mode `open` on all interfaces; on loopback there is nothing to say."""
    access = {"GATEWAY_ACCESS__MODE": "open", "GATEWAY_UPSTREAM__TOKEN": "t"}
    warned = []
    for host in ("127.0.0.1", "0.0.0.0"):
        house = Gateway(tmp_path, UPSTREAM, GATEWAY_SERVER__HOST=host, **access)
        with house.process:
            pass  # a thread writes the log: only at the end all lines are surely there
        records = _records(house.process.output)
        warned.append([each["setting"] for each in records if each["event"] == "access.open"])

    assert warned == [[], ["access.mode"]]


def test_answers_of_one_kind_are_one_line(tmp_path: Path) -> None:
    """A hundred errors are a line or two, which count them."""
    house = Gateway(tmp_path, UPSTREAM)
    caller = httpx.Client(headers={"Authorization": "Bearer t"}, trust_env=False)
    with house.process, caller:
        for _ in range(100):
            assert caller.get(f"{house.data}/training/none").status_code >= 500
    lines = [each for each in _records(house.process.output) if each["event"] == "request.answered"]

    assert sum(int(str(each["count"])) for each in lines) == 100
    assert len(lines) < 10
    assert {each["id"] for each in lines} == {"none"}
