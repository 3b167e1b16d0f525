"""The commands' words: help, exit codes, and where faults are printed. Nothing is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import __version__
from gateway.cli import main
from gateway.cli.explain import _PLANS, in_short, readable
from gateway.cli.simulate import ETAGS, REVISIONS
from gateway.core.cache.policy import Plan
from gateway.settings import Fault, Settings, SettingsFault
from gateway.simulator.answers import ETagForm
from gateway.simulator.faults import FaultMode
from gateway.simulator.training import Revision

COMMANDS = sorted(main.commands)
_NOW = 1_767_261_847.0  # 2026-01-01T10:04:07Z


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)


def run(*arguments: str, **environment: str) -> Result:
    """The command in this process, with these variables."""
    return CliRunner().invoke(main, arguments, env=environment)


def test_the_commands_are_the_documented_ones() -> None:
    """No command is there that no document names."""
    assert [
        *("check", "demo", "explain", "hash-key", "health", "invalidate", "mode", "purge"),
        *("serve", "simulate", "status"),
    ] == COMMANDS


def test_version() -> None:
    """`--version` is one line that scripts can read."""
    assert run("--version").output == f"gateway {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_has_an_example(command: str) -> None:
    """`gateway COMMAND --help` shows how the command is typed."""
    result = run(command, "--help")

    assert result.exit_code == 0
    assert f"  gateway {command}" in result.output.partition("Example")[2]


def test_help_imports_nothing_heavy() -> None:
    """`gateway --help` answers at once: neither settings nor servers nor drivers are loaded."""
    code = (
        "import sys; from gateway.cli import main; main(['--help'], standalone_mode=False);"
        "print(sorted({'pydantic', 'httpx', 'starlette', 'uvicorn', 'redis'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert output.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["serve", "check"])
def test_every_settings_fault_is_a_line_on_standard_error(command: str) -> None:
    """Two faults are two lines, nothing is on standard output, and the exit code is 2."""
    result = run(command, GATEWAY_SERVER__PORT="many", GATEWAY_FRESHNESS__LIFETIME="soon")

    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["server.port", "freshness.lifetime"]
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_faulty_parameter_of_redis_is_a_settings_fault(command: str) -> None:
    """Exit code 2 beside another fault, not 1 once that is mended; and the URL stays a secret."""
    url = "redis://:hunter2@cache?max_connections=hunter2"

    result = run(command, GATEWAY_SERVER__PORT="many", GATEWAY_REDIS__URL=url)

    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["server.port", "redis.url"]
    assert "its parameter 1 is none of db, " in lines[1]
    assert (result.exit_code, "hunter2" in result.stderr) == (2, False)


@pytest.mark.parametrize("command", ["serve", "check"])
def test_the_clients_file_is_judged_with_the_settings(command: str, tmp_path: Path) -> None:
    """All its faults are lines as well, and nothing starts."""
    path = tmp_path / "clients.toml"
    path.write_text("[[tenants]]\n[[clients]]\n")

    result = run(command, GATEWAY_ACCESS__MODE="clients", GATEWAY_ACCESS__CLIENTS_FILE=str(path))

    lines = result.stderr.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("access.clients_file: ") for line in lines)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_clients_file_that_goes_bad_meanwhile_is_a_settings_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After it was judged and before it was used: no traceback either."""

    async def start(_settings: Settings, **_more: object) -> None:
        raise SettingsFault((Fault("access.clients_file", "is gone", "a file"),))

    monkeypatch.setattr("gateway.app.serve", start)

    result = run("serve")

    assert result.stderr == "access.clients_file: is gone (wanted: a file)\n"
    assert result.exit_code == 2


def test_a_clients_file_that_goes_bad_during_a_check_is_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After the settings were judged: it is one fault beside those of ports, not a traceback."""
    path = tmp_path / "clients.toml"
    path.write_text(
        '[[tenants]]\nname = "acme"\nupstream_token = "t"\n'
        f'[[clients]]\nname = "web"\nkey_sha256 = "{"0" * 64}"\ntenant = "acme"\n'
    )
    monkeypatch.setattr("gateway.adapters.telemetry.log_lines.configure", lambda *_, **__: None)
    monkeypatch.setattr("gateway.app.run._check_listening", lambda *_: path.write_text("["))

    result = run("check", GATEWAY_ACCESS__MODE="clients", GATEWAY_ACCESS__CLIENTS_FILE=str(path))

    assert result.stderr.startswith("access.clients_file: names a file that is not TOML")
    assert (result.exit_code, result.stdout) == (1, "settings: ok\n")


def test_a_config_file_that_is_not_there_is_a_settings_fault(tmp_path: Path) -> None:
    """`--config` is judged with the settings, in their words."""
    result = run("serve", "--config", str(tmp_path / "absent.toml"))

    assert result.exit_code == 2
    assert "absent.toml: cannot be read" in result.stderr


def test_the_variable_names_the_file(tmp_path: Path) -> None:
    """GATEWAY_CONFIG is honoured where `--config` is not given."""
    path = tmp_path / "gateway.toml"
    path.write_text("[server]\nport = -1\n")

    result = run("check", GATEWAY_CONFIG=str(path))

    assert result.exit_code == 2
    assert result.stderr.startswith("server.port: -1")


def test_settings_that_contradict_each_other_are_no_traceback() -> None:
    """A setting that is sound by itself but refused at the start is one more fault."""
    result = run("serve", GATEWAY_SWEEP__ENABLED="true", GATEWAY_SWEEP__PARTITIONS="0")

    assert result.exit_code == 2
    assert "sweep.enabled" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_explain_says_when_nothing_listens() -> None:
    """No gateway at the address: one line that names it and the option."""
    result = run("explain", "trn_000001", "--admin", "http://127.0.0.1:9")

    assert result.exit_code == 1
    assert result.stderr == (
        "http://127.0.0.1:9: nothing listens there; is it the admin address (--admin)?\n"
    )


def test_explain_says_why_there_is_no_connection() -> None:
    """A host without an address is not one where nothing listens."""
    result = run("explain", "trn_000001", "--admin", "http://no-such-host.invalid:8081")

    assert result.exit_code == 1
    assert result.stderr.startswith("http://no-such-host.invalid:8081: no connection: ")
    assert "nothing listens" not in result.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:9", "http://", "nonsense", "http://a..b"])
def test_explain_refuses_what_is_no_address(address: str) -> None:
    """An address without a scheme or a host is named as such."""
    result = run("explain", "trn_000001", "--admin", address)

    assert result.exit_code == 1
    assert "is not an address" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "trn_\udcff"),
        ("explain", "trn_000001", "--partition", "\udcff"),
        ("invalidate", "trn_000001", "trn_\udcff"),
        ("purge", "--partition", "\udcff"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    """As a terminal with another encoding sends it: no traceback, and no terminal is confused."""
    result = run(*arguments, "--admin", "http://127.0.0.1:9")

    assert result.exit_code == 2
    assert "\\udcff' is not UTF-8" in result.stderr


def test_an_event_is_a_line_that_begins_with_its_time() -> None:
    """What happened to a training reads from left to right; nothing else known, nothing said."""
    fetched = {"time": "2026-01-01T10:00:00Z", "event": "entry.fetched", "status": 200}
    failed = {"time": "t", "event": "order.failed", "first": "trn-"}

    words = {"events": [fetched, {"time": "t", "event": "entry.outdated"}, failed]}

    assert list(readable(words, _NOW)) == [
        "events",
        "  10:00:00 UTC (4 min 7 s ago)  entry.fetched         status=200",
        "  t  entry.outdated",
        "  t  order.failed          first=trn-",
    ]


def test_what_has_a_unit_is_told_with_it() -> None:
    """Ages, times and sizes by their names; the exact text of a version stays beside its age."""
    words = {
        "l1": {"age": 75.25, "freshness_lifetime": 27.5, "bytes": 2_150, "status": 200},
        "bound": "2026-01-01T09:04:07Z",
        "mode": {"since": _NOW - 3.0},
    }

    assert list(readable(words, _NOW)) == [
        "l1",
        "  age                 1 min 15 s",
        "  freshness_lifetime  27 s",
        "  bytes               2.1 KiB",
        "  status              200",
        "bound  2026-01-01T09:04:07Z (1 h ago)",
        "mode",
        "  since  10:04:04 UTC (3 s ago)",
    ]


HELD = {"status": 200, "age": 10.0, "freshness_lifetime": 28.0, "state": "current"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            {"l1": HELD | {"plan": "serve"}},
            "stored, fresh for another 18 s. The next request gets it.",
        ),
        (
            {"l1": None, "l2": HELD | {"age": 30.5, "plan": "serve-and-refresh"}},
            "stored, already stale for 2.5 s. The next request gets it, and it is refreshed in the "
            "background.",
        ),
        (
            {"l1": HELD | {"age": 400.0, "plan": "wait-softly"}},
            "stored, already stale for 6 min 12 s. The next request calls the API. If the call "
            "fails or takes long, the request gets the stored response.",
        ),
        (
            {"l1": HELD | {"status": 404, "age": 29.0, "plan": "fetch"}},
            "remembered as a 404, already stale for 1 s. The next request calls the API first.",
        ),
        (
            {"l1": HELD | {"state": "rescue", "plan": "fetch"}},
            "stored, but invalidated or out of date. The next request calls the API first.",
        ),
        ({"l1": None, "l2": None}, "nothing is stored. The next request calls the API."),
        (
            {"l1": None},
            "nothing is stored in this replica; with --partition Redis is asked too.",
        ),
        (
            {"l1": None, "l2": None, "redis": "away"},
            "nothing is stored; Redis cannot be asked. The next request calls the API.",
        ),
    ],
)
def test_a_training_is_explained_in_short(words: dict[str, Any], said: str) -> None:
    """What is stored, and what the next request gets."""
    assert in_short(words) == said


def test_every_plan_is_said_in_words() -> None:
    """As the admin plane names those that follow from a stored response alone."""
    assert list(_PLANS) == [plan.value for plan in Plan][:5]


def test_explained_words_are_aligned_and_indented() -> None:
    """Nested objects are indented, null and nothing are a dash, a list's items take a line each."""
    words = {"id": "a", "l2": None, "l1": {"age": 1.5, "fresh": True}, "events": [{"n": 1}, "x"]}

    assert list(readable(words, _NOW)) == [
        "id      a",
        "l2      -",
        "l1",
        "  age    1.5 s",
        "  fresh  true",
        "events",
        "  n=1",
        "  x",
    ]


def test_simulate_knows_all_that_the_simulator_does() -> None:
    """The words that help lists are the simulator's own."""
    assert set(REVISIONS) == set(Revision)
    assert set(ETAGS) == set(ETagForm)


def test_simulate_lists_every_fault() -> None:
    """The modes in its help are the simulator's, each once."""
    modes = (
        run("simulate", "--help")
        .output.partition("Modes of a fault: ")[2]
        .partition("More paths")[0]
    )

    assert sorted(modes.split()) == sorted(FaultMode)


@pytest.mark.parametrize(
    "wrong", [("--port", "70000"), ("--limit", "-1"), ("--window", "0"), ("--revision", "next")]
)
def test_simulate_refuses_nonsense(wrong: tuple[str, str]) -> None:
    """A value out of its range is a usage error, exit code 2, and names the option."""
    result = run("simulate", *wrong)

    assert result.exit_code == 2
    assert wrong[0] in result.stderr


def test_python_m_gateway_is_the_command() -> None:
    """`python -m gateway` calls itself `gateway`."""
    command = [sys.executable, "-m", "gateway", "--version"]
    output = subprocess.run(command, capture_output=True, text=True, check=True)

    assert output.stdout == f"gateway {__version__}\n"
