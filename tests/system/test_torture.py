"""The hard cases of tests/torture, put to this gateway; to others by `make torture`."""

from __future__ import annotations

import asyncio
import re
import subprocess
from dataclasses import replace

import msgspec
import pytest
from click.testing import CliRunner

from tests.torture.__main__ import main
from tests.torture.by_hand import prelude
from tests.torture.caller import Answer
from tests.torture.check import Check, Finding
from tests.torture.checks import CHECKS
from tests.torture.checks.freshness import Truth
from tests.torture.running import Verdict, run
from tests.torture.stand import Setting, Stand, stand
from tests.torture.table import failures, table
from tests.torture.target import FOLDER, targets

# Checks that only count. The others also judge seconds, and run by `make torture`.
COUNTING = ("tenants: stored", "purge: refresh", "stampede: cold", "versions: older", "304")


@pytest.mark.parametrize("name", COUNTING)
async def test_this_gateway_passes(name: str) -> None:
    """The checks that count."""
    (verdict,) = await run([each for each in CHECKS if each.name == name], targets()["gateway"])

    assert verdict.findings
    assert failures([verdict]) == ""


def test_a_failure_tells_why_and_how_to_see_it() -> None:
    """In the table and beneath it."""

    async def body(_: Stand) -> list[Finding]:
        return []

    check = Check("a case", "what goes wrong", ("curl $URL",), Setting(), body)
    findings = [Finding("does it hold", False, "3 calls"), Finding("  slowest", None, "1 s")]
    verdicts = [Verdict(check, targets()["gateway"], findings)]

    assert "| does it hold | **no** (3 calls) |\n|   slowest | 1 s |" in table(verdicts)
    told = failures(verdicts)
    assert told.startswith("gateway, a case: what goes wrong")
    assert "does it hold: 3 calls" in told
    assert "curl $URL" in told
    assert "--target 'gateway' --check 'a case' --hold" in told


def test_what_shows_a_failure_by_hand_is_bash() -> None:
    """Nothing in it is left to the reader to fill in."""
    texts = {check.name: "\n".join(check.by_hand) for check in CHECKS}

    faulty = {name: _bash(text, "-n").stderr for name, text in texts.items()}

    assert all(texts.values())
    assert {name: said for name, said in faulty.items() if said} == {}
    assert [name for name, text in texts.items() if "…" in text.partition("#")[0]] == []


async def test_a_failure_can_be_seen_by_hand() -> None:
    """What a held target prints runs as it is pasted."""
    commands = (
        "see alice-token trn_000001; edit trn_000001; purge",
        "RATE=100/s see alice-token trn_000001 trn_000001 | cut -d, -f1,5",
        "crowd nobodys-token $(times 5 trn_000001); given '*' trn_000001; now trn_000001",
        'fault malformed-json \'"ids": ["trn_000002"]\'; body trn_000002; asked',
        "stated || echo 'not in force'",
    )
    gateway = targets()["gateway"]
    # A sweep would store what the fault is about, sooner or later.
    without = {**gateway.environment, "GATEWAY_SWEEP__ENABLED": "false"}
    async with stand(msgspec.structs.replace(gateway, environment=without), Setting()) as ours:
        text = "\n".join([prelude(ours), *commands])

        said = await asyncio.to_thread(_bash, text)

    lines = said.stdout.splitlines()
    assert said.stderr == ""
    assert "[alice/trn_000001 v9]" in lines[0]
    assert lines[1:3] == ["edit: 200", "purge: 200"]
    assert [line.startswith("200/0, [alice/trn_000001 v10]") for line in lines[3:5]] == [True] * 2
    assert lines[5].split() == ["5", "401/0"]
    assert lines[6].startswith("given *: 304 ")
    assert lines[4].endswith(lines[7].split('"')[3])
    assert lines[8] == "fault: 204"
    assert "502" in lines[9]
    assert '"rate_limited":0' in lines[10]
    assert lines[11:] == ["not in force"]


def test_an_answer_is_as_old_as_the_first_edit_that_it_lacks() -> None:
    """For the observer of the checks on freshness."""
    truth = Truth()
    for version, at in (("1", 0.0), ("2", 10.0), ("3", 20.0)):
        truth.publish("trn_000001", version, at)
    latest, oldest = Answer(200, body=b'{"updated_at":"3"}', is_whole=True), []

    for answer in (latest, replace(latest, body=b'{"updated_at":"1"}'), Answer(503)):
        truth.judge("trn_000001", answer, 25.0)
        oldest.append(truth.oldest)

    assert oldest == [0.0, 15.0, 15.0]
    assert truth.failed == 1


def test_targets_and_checks_are_listed() -> None:
    """With what each is, so that one can be chosen."""
    told = CliRunner().invoke(main, ["--list"])

    assert told.exit_code == 0
    assert {"gateway", "nginx best", "varnish expert"} <= targets().keys()
    assert all(name in told.output for name in targets())
    assert all(check.name in told.output for check in CHECKS)


def test_an_unknown_target_is_named() -> None:
    """And which there are."""
    told = CliRunner().invoke(main, ["--target", "apache"])

    assert told.exit_code == 2
    assert "no target 'apache'; there are: gateway, nginx best" in told.output


def _bash(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", *options]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_a_target_is_left_out_if_its_module_is_not_installed() -> None:
    """Not only if its program is not: nginx without it would not start, which ended the whole
    run."""
    needs = ["sh", __file__, "/usr/lib/nginx/modules/of_nobody.so"]
    target = msgspec.structs.replace(targets()["gateway"], needs=needs)

    assert target.missing == needs[-1:]


@pytest.mark.parametrize("name", targets())
def test_a_target_needs_the_modules_that_its_nginx_loads(name: str) -> None:
    """By their paths."""
    target = targets()[name]
    texts = [(FOLDER / each).read_text("utf-8") for each in target.files.values()]

    loaded = {module for text in texts for module in re.findall(r"load_module (\S+);", text)}
    assert loaded <= {*target.needs}
