"""The hard cases of tests/torture, put to this gateway; to others by `make torture`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tests.torture.__main__ import main
from tests.torture.check import Check, Finding
from tests.torture.checks import CHECKS
from tests.torture.running import Verdict, run
from tests.torture.stand import Setting, Stand
from tests.torture.table import failures, table
from tests.torture.target import targets

AT_ONCE = 4


@pytest.mark.timeout(400)
async def test_this_gateway_passes() -> None:
    """Every check but the long ones."""
    checks = [check for check in CHECKS if not check.is_long]

    verdicts = await run(checks, targets()["gateway"], AT_ONCE)

    assert all(verdict.findings for verdict in verdicts)
    assert failures(verdicts) == ""


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
