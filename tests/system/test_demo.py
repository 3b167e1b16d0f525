"""The demo: real processes, signals and a terminal; whatever ends it, nothing is left running."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from tests.support.servers import answers, free_port, gateway, listens, wait_until
from tests.system.commands import (
    TOKEN,
    cache_status,
    curl_line,
    demo,
    get,
    port_of,
    printed,
    run,
    shell,
)
from tests.system.terminal import Terminal

ERASED = "\r\x1b[2K"
LOOKER = f"Authorization: Bearer {TOKEN}"
FREE_PORTS = ("--port", "0", "--admin-port", "0", "--simulator-port", "0")


def test_the_demo_s_command_works_twice(tmp_path: Path) -> None:
    """The printed line is a miss, or already a hit from the list, and then a hit; a signal ends
    all of it with exit code 0."""
    with demo(tmp_path) as process:
        command = curl_line(process.output)
        first, second = (shell(command) for _ in range(2))
        shown = shell(f"{command} | grep -i cache-status")
        exit_code = process.stop()

    assert first.startswith("HTTP/1.1 200")
    assert re.match(r"gateway; (fwd=uri-miss; fwd-status=200; |hit; )", cache_status(first))
    assert cache_status(second).startswith("gateway; hit;")
    assert re.fullmatch(r"cache-status: gateway; hit; ttl=\d+; detail=l1\s*", shown)
    assert exit_code == 0
    assert process.output.endswith("\nended\n")
    assert not listens(port_of(printed(process.output, "API")))


def test_a_look_at_the_demo_s_api_costs_the_gateway_nothing(tmp_path: Path) -> None:
    """The gateway has a token of its own there. Calls with another token do not lower its limit."""
    with demo(tmp_path, "--no-load") as process:
        upstream = printed(process.output, "API").partition("/_control")[0]
        many = f"{upstream}/training/trn_000[001-120]"
        looks = shell(f"curl -s -o /dev/null -w '%{{http_code}} ' -H '{LOOKER}' '{many}'").split()
        head = shell(curl_line(process.output))
        budget = get(printed(process.output, "status")).json()["budgets"]["default"]

    assert (looks.count("200"), looks.count("429")) == (100, 20)
    assert head.startswith("HTTP/1.1 200")
    assert budget["limit"] == 100


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_the_demo_needs_no_standard_streams(tmp_path: Path, closed: str) -> None:
    """It runs until a signal ends it, with exit code 0."""
    port, admin = free_port(), free_port()
    process = gateway(
        *("demo", "--no-load", "--simulator-port", "0"),
        *("--port", str(port), "--admin-port", str(admin)),
        log=tmp_path / "demo.log",
        ready=lambda: answers(f"http://127.0.0.1:{admin}/readyz"),
    )
    process.command[:0] = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    with process:
        answer = get(f"http://127.0.0.1:{port}/training/trn_000001")
        exit_code = process.stop()

    assert (answer.status_code, exit_code) == (200, 0)
    assert "Traceback" not in process.output


@pytest.mark.parametrize("command", [("demo", *FREE_PORTS), ("simulate", "--port", "0")])
def test_a_command_whose_reader_is_gone_ends_without_words(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """As `gateway demo | true`: exit code 1, as for other commands, and nothing on standard
    error."""
    process = gateway(*command, log=tmp_path / "run.log", ready=lambda: True)
    reading, process.stdout = os.pipe()
    os.close(reading)
    process.command[:0] = ["sh", "-c", f'exec "$@" 2>{tmp_path / "err"}', "sh"]

    exit_code = process.start().wait(60)

    os.close(process.stdout)
    assert (exit_code, (tmp_path / "err").read_text()) == (1, "")


def test_the_demo_s_addresses_can_be_opened(tmp_path: Path) -> None:
    """Page, metrics, status and the simulator's counts answer with 200."""
    with demo(tmp_path, "--no-load") as process:
        names = ("live page", "metrics", "status", "API")
        statuses = {name: get(printed(process.output, name)).status_code for name in names}

    assert set(statuses.values()) == {200}


def test_the_demo_moves_without_a_warning_and_leaves_most_of_the_budget(tmp_path: Path) -> None:
    """A healthy start has nothing to tell; callers ask, the figures are printed, and whoever
    watches can still fetch at once."""
    with demo(tmp_path) as process:
        wait_until(lambda: process.output.count("hits ") > 1, 60, "two lines of figures")
        output = process.output
        fresh = curl_line(output).replace("trn_000001", "trn_000[900-908]")
        heads = shell(fresh)

    lines = output.splitlines()
    assert [line for line in lines if " warning " in line or " error " in line] == []
    assert "The limit is spent" not in output
    (requests,) = re.findall(r"requests (\d+) ", next(line for line in lines if "hits " in line))
    assert int(requests) > 5
    assert heads.count("HTTP/1.1 200") == 9


def test_killing_the_demo_ends_its_simulator(tmp_path: Path) -> None:
    """Even when nothing could be cleaned up, no process is left."""
    with demo(tmp_path, "--no-load") as process:
        port = port_of(printed(process.output, "API"))
        alive = listens(port)
        process.kill()
        wait_until(lambda: not listens(port), 30, "the simulator's end")

    assert alive


def test_the_demo_ends_with_its_simulator(tmp_path: Path) -> None:
    """An upstream that ends takes the demo along, with a line and exit code 1."""
    with demo(tmp_path, "--no-load") as process:
        child = shell(f"ps -o pid= --ppid {process.pid}")
        shell(f"kill -KILL {child}")
        exit_code = process.wait(30)

    assert exit_code == 1
    # After that, the log may say that a call was not answered: a thread writes it.
    assert "the simulator ended with exit code -9" in process.output.splitlines()


def test_the_demo_moves_aside_for_a_taken_port(tmp_path: Path) -> None:
    """Where 8080 is taken the demo says so and takes another one."""
    log = tmp_path / "aside.log"
    process = gateway(
        *("demo", "--admin-port", "0", "--simulator-port", "0", "--no-load"),
        log=log,
        ready=lambda: "Ctrl-C ends the demo" in process.output,
    )
    with _taken(8080), process:
        output = process.output
        head = shell(curl_line(output))

    assert "port 8080 is taken, so the demo uses a free port" in output
    assert "127.0.0.1:8080" not in output
    assert head.startswith("HTTP/1.1 200")


def test_the_demo_insists_on_a_port_it_was_given(tmp_path: Path) -> None:
    """A port that was asked for and is taken is a fault, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        exit_code, output = run(
            *("demo", "--port", port, "--admin-port", "0", "--simulator-port", "0"),
            folder=tmp_path,
        )

    assert exit_code == 1
    assert f"server.port: cannot listen on 127.0.0.1:{port}" in output


def test_the_demo_takes_no_port_for_two_things(tmp_path: Path) -> None:
    """Asked for, that is a fault in the words of the settings."""
    port = str(free_port())
    exit_code, output = run(
        *("demo", "--port", port, "--admin-port", port, "--simulator-port", "0"), folder=tmp_path
    )

    assert exit_code == 2
    assert (
        output
        == "admin.port: is the same as server.port (wanted: another port, or 0 for any free port)\n"
    )


def test_ctrl_c_ends_a_live_demo(tmp_path: Path) -> None:
    """Figures are written over each other in place; Ctrl-C ends it with 0 and a clean line."""
    with Terminal("demo", *FREE_PORTS, folder=tmp_path) as terminal:
        terminal.until("hits ", 2)
        exit_code = terminal.press_ctrl_c()
        shown = terminal.shown

    assert exit_code == 0
    assert shown.endswith(f"{ERASED}ended\n")
    assert "Traceback" not in shown


def test_a_log_line_takes_the_place_of_the_live_line(tmp_path: Path) -> None:
    """The figures are cleared before a line of the log, and stand below it afterwards, behind what
    is wrong."""
    with Terminal("demo", *FREE_PORTS, "--no-load", folder=tmp_path) as terminal:
        terminal.until("hits ")
        upstream = printed(terminal.shown, "API").partition("/_control")[0]
        shell(f"""curl -s -d '{{"mode": "status-500"}}' {upstream}/_control/fault""")
        # The list does not have it, so no sweep has stored it.
        shell(re.sub(r"trn_\d+", "trn_unknown", curl_line(terminal.shown)))
        terminal.until("upstream.failed")
        terminal.until(f"{ERASED}All of the requests of the last minute failed   requests ")
        shown = terminal.shown

    rows = [row.rpartition(ERASED)[2] for row in shown.split("\n") if "upstream.failed" in row]
    assert rows
    assert [row for row in rows if not re.match(r"\d\d:\d\d:\d\d", row) or "hits " in row] == []


def _taken(port: int) -> socket.socket:
    """A socket that holds the port, or any, if somebody else holds this one already."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))
