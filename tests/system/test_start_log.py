"""What `gateway serve` says when it starts: to people on a terminal, and to machines elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.settings import describe
from tests.servers import free_port
from tests.system.commands import Gateway
from tests.system.terminal import Terminal

UPSTREAM = "http://127.0.0.1:9"


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
    """All effective settings in one JSON line."""
    house = Gateway(tmp_path, UPSTREAM)
    with house.process:
        records = _records(house.process.output)

    (settings,) = [each for each in records if each["event"] == "gateway.settings"]
    assert {info.name for info in describe()} <= settings.keys()
