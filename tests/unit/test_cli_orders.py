"""`gateway invalidate` and `gateway purge` against a small real server: what is sent and said."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.support.servers import ROOT

COMPLETE = (200, "application/json", b'{"replicas":{"known":3,"confirmed":3}}')
PARTLY = (
    202,
    "application/json",
    b'{"replicas":{"known":3,"confirmed":2},"bounded_by":"l1.lifetime","detail":"so and so"}',
)
ORDERS = [("invalidate", "a"), ("purge",)]
each_order = pytest.mark.parametrize("order", ORDERS, ids=lambda order: str(order[0]))


@dataclass(slots=True)
class Plane:
    """What stands in for an admin plane: answers `answer`, and keeps what it was asked."""

    url: str = ""
    answer: tuple[int, str, bytes] = COMPLETE
    asked: list[tuple[str, object]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def plane() -> Iterator[Plane]:
    """A server on a port of its own, for one test."""
    plane = Plane()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            plane.asked.append((self.path, json.loads(body)))
            plane.fields = {name.lower(): value for name, value in self.headers.items()}
            status, kind, words = plane.answer
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(words)))
            self.end_headers()
            self.wfile.write(words)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        plane.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield plane
        server.shutdown()
        thread.join()


def run(plane: Plane, *arguments: str, **environment: str) -> Result:
    """The command in this process, told where the plane is."""
    return _run(*arguments, "--admin", plane.url, **environment)


def _run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("invalidate", "a"), ("/invalidate", {"ids": ["a"]})),
        (("invalidate", "a", "--soft"), ("/invalidate", {"ids": ["a"], "soft": True})),
        (
            ("invalidate", "a", "b", "--updated-at", "2026-01-31T12:00:00Z"),
            ("/invalidate", {"ids": ["a", "b"], "updated_at": "2026-01-31T12:00:00Z"}),
        ),
        (
            ("invalidate", "a", "--updated-at", ""),
            ("/invalidate", {"ids": ["a"], "updated_at": ""}),
        ),
        (("purge",), ("/purge", {"soft": False})),
        (("purge", "--soft", "--yes"), ("/purge", {"soft": True})),
        (("purge", "--partition", "p"), ("/purge", {"soft": False, "partition": "p"})),
        (("purge", "--partition", ""), ("/purge", {"soft": False, "partition": ""})),
    ],
)
def test_the_order_is_sent(
    plane: Plane, arguments: tuple[str, ...], asked: tuple[str, object]
) -> None:
    """As typed, to be judged there: a variable that was empty does not widen it."""
    result = run(plane, *arguments)

    assert plane.asked == [asked]
    assert plane.fields["content-type"] == "application/json"
    assert "authorization" not in plane.fields
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "3 of 3 replicas confirmed\n"


@each_order
def test_not_all_replicas_confirmed(plane: Plane, order: tuple[str, ...]) -> None:
    """The count on standard output, what follows on standard error, exit code 3."""
    plane.answer = PARTLY

    result = run(plane, *order)

    assert (result.exit_code, result.stdout) == (3, "2 of 3 replicas confirmed\n")
    assert result.stderr == f"{plane.url}: so and so\n"


@each_order
@pytest.mark.parametrize(("answer", "exit_code"), [(COMPLETE, 0), (PARTLY, 3)])
def test_json_is_the_answer_as_it_came(
    plane: Plane, order: tuple[str, ...], answer: tuple[int, str, bytes], exit_code: int
) -> None:
    """For scripts, with the same exit codes."""
    plane.answer = answer

    result = run(plane, *order, "--json")

    assert (result.exit_code, result.stdout) == (exit_code, answer[2].decode() + "\n")


@each_order
def test_the_token_is_shown_to_the_plane_alone(plane: Plane, order: tuple[str, ...]) -> None:
    """From the option or the environment; never printed."""
    by_option = run(plane, *order, "--token", "t-1")
    assert plane.fields["authorization"] == "Bearer t-1"
    by_environment = run(plane, *order, GATEWAY_ADMIN__TOKEN="t-2")
    assert plane.fields["authorization"] == "Bearer t-2"
    run(plane, *order, gateway_admin__token="t-3")  # settings accept any case
    assert plane.fields["authorization"] == "Bearer t-3"

    assert "t-1" not in by_option.output
    assert "t-2" not in by_environment.output


@each_order
@pytest.mark.parametrize("token", ["t-1\n", "t-1 ", "t-1\r\nx: y", "t-ü", "t-\udcff"])
def test_a_token_that_no_field_can_hold_is_not_shown(
    plane: Plane, order: tuple[str, ...], token: str
) -> None:
    """It is refused as the settings refuse it: nothing is sent, and nothing of it printed."""
    for result, name in (
        (run(plane, *order, "--token", token), "'--token'"),
        (run(plane, *order, GATEWAY_ADMIN__TOKEN=token), "admin.token"),
    ):
        assert (result.exit_code, result.stdout, plane.asked) == (2, "", [])
        assert name in result.stderr
        assert "t-" not in result.stderr.replace("--token", "")


def test_the_token_may_be_in_a_file(plane: Plane, tmp_path: Path) -> None:
    """Named by the variable or by the settings file, as for the gateway itself. The option wins.
    The settings are of a gateway here: another address gets no token from them."""
    token, config = tmp_path / "token", tmp_path / "gateway.toml"
    token.write_text("t-1\n")
    config.write_text('[admin]\ntoken_file = "token"\n[server]\nport = "none"\n')

    for variable, named in (("GATEWAY_ADMIN__TOKEN_FILE", token), ("GATEWAY_CONFIG", config)):
        environment = {variable: str(named), "GATEWAY_ADMIN__PORT": plane.url.rpartition(":")[2]}
        assert _run("purge", **environment).exit_code == 0
        assert plane.fields["authorization"] == "Bearer t-1"
        assert _run("purge", "--token", "t-2", **environment).exit_code == 0
        assert plane.fields["authorization"] == "Bearer t-2"

    assert run(plane, "purge", GATEWAY_ADMIN__TOKEN_FILE=str(token)).exit_code == 0
    assert plane.fields["authorization"] == "Bearer t-1"
    assert run(plane, "purge", GATEWAY_CONFIG=str(config)).exit_code == 0
    assert "authorization" not in plane.fields


def test_port_and_token_are_enough(plane: Plane, tmp_path: Path) -> None:
    """An operator may be mending the settings just then: their faults are not the order's."""
    port = plane.url.rpartition(":")[2]
    environment = {"GATEWAY_CONFIG": str(tmp_path / "gone.toml"), "GATEWAY_ADMIN__PORT": "70000"}

    result = CliRunner().invoke(
        main, ["purge", "--yes", "--admin", port, "--token", "t"], env=environment
    )

    assert (result.exit_code, len(plane.asked)) == (0, 1)


def test_a_token_file_that_is_not_there_is_a_fault(plane: Plane, tmp_path: Path) -> None:
    """With the words of the settings, before anything is sent."""
    result = run(plane, "purge", GATEWAY_ADMIN__TOKEN_FILE=str(tmp_path / "none"))

    assert (result.exit_code, plane.asked) == (2, [])
    assert result.stderr.startswith("admin.token_file: names a file that cannot be read")


@each_order
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, "application/problem+json", b'{"detail":"no such id"}'), "no such id"),
        ((413, "application/problem+json", b'{"title":"too large"}'), "too large"),
        ((503, "application/problem+json", b'{"detail":"needs Redis"}'), "needs Redis"),
        ((401, "application/problem+json", b"{}"), "needs the admin token"),
        (
            (401, "application/problem+json", b'{"detail":"no `admin.token` is configured"}'),
            "no `admin.token` is configured",
        ),
        (
            (404, "application/json", b"{}"),
            "is not the admin address of a gateway of this version (it answers 404)",
        ),
        (
            (200, "text/html", b"<p>"),
            "is not the admin address of a gateway of this version (it answers 200)",
        ),
        (
            (200, "application/json", b'{"ok":true}'),
            "is not the admin address of a gateway of this version (it answers 200)",
        ),
        (
            (200, "application/json", b"{"),
            "is not the admin address of a gateway of this version (it answers 200)",
        ),
    ],
)
def test_what_is_no_receipt_is_a_fault(
    plane: Plane, order: tuple[str, ...], answer: tuple[int, str, bytes], said: str
) -> None:
    """One line on standard error, nothing on standard output, exit code 1."""
    plane.answer = answer

    result = run(plane, *order)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{plane.url}: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_token_that_is_not_accepted_is_no_missing_token(plane: Plane) -> None:
    """The message does not show the token."""
    plane.answer = (401, "application/problem+json", b"{}")

    result = run(plane, "purge", GATEWAY_ADMIN__TOKEN="t-1")

    assert result.exit_code == 1
    assert "does not accept the admin token that was sent" in result.stderr
    assert "t-1" not in result.stderr


@each_order
def test_an_answer_that_never_came_leaves_a_doubt(plane: Plane, order: tuple[str, ...]) -> None:
    """Perhaps the order was carried out. The line says so, and that it is safe to repeat it."""
    plane.answer = (200, "application/json\r\nbroken", b"")

    result = run(plane, *order)

    assert result.exit_code == 1
    assert "; perhaps the order was carried out; it is safe to repeat it" in result.stderr


def test_nothing_listens() -> None:
    """One line that names the address and the option, exit code 1."""
    result = run(Plane("http://127.0.0.1:9"), "purge")

    assert result.exit_code == 1
    assert "nothing listens there" in result.stderr
    assert "asking again" not in result.stderr


def test_no_standard_input_is_no_terminal(plane: Plane) -> None:
    """As for a script whose standard input is another command's."""
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m gateway purge --admin {plane.url} <&-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        cwd=ROOT,
    )

    assert (done.returncode, done.stderr, len(plane.asked)) == (0, "", 1)


@pytest.mark.parametrize("wrong", [("invalidate",), ("purge", "everything"), ("purge", "--hard")])
def test_what_is_no_command_orders_nothing(plane: Plane, wrong: tuple[str, ...]) -> None:
    """Exit code 2: no id, or one too many."""
    result = run(plane, *wrong)

    assert (result.exit_code, plane.asked) == (2, [])


@pytest.mark.parametrize(
    ("typed", "options", "exit_code", "count"),
    [("n\n", [], 1, 0), ("\n", [], 1, 0), ("y\n", [], 0, 1), ("", ["--yes"], 0, 1)],
)
def test_purge_asks_on_a_terminal(
    plane: Plane, typed: str, options: list[str], exit_code: int, count: int
) -> None:
    """It goes on only if told yes; the question is no part of what is printed."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "purge", "--admin", plane.url, *options],
            stdin=theirs,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            cwd=ROOT,
        )
    finally:
        os.close(ours)
        os.close(theirs)

    assert (done.returncode, len(plane.asked)) == (exit_code, count)
    assert ("purge all stored responses" in done.stderr) is (not options)
    assert "purge" not in done.stdout
