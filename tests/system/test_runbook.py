"""RUNBOOK.md's commands, typed as by somebody just woken: each one runs, and says something.

The addresses of its first block are replaced by those of the test; its queries are asked in
test_prometheus.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.servers import ROOT
from tests.system.commands import TOKEN, Gateway, address, get, simulator

RUNBOOK = (ROOT / "dashboards/RUNBOOK.md").read_text()
FIRST, *BLOCKS = re.findall(r"^```sh\n(.*?)^```$", RUNBOOK, re.MULTILINE | re.DOTALL)
STRICT = 'curl() { command curl --fail --silent --show-error "$@"; }\n'


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the commands need, of a gateway in front of a simulator."""
    folder = tmp_path_factory.mktemp("runbook")
    with simulator(folder, "--trainings", "5") as process:
        house = Gateway(folder, address(process), GATEWAY_LOG__LEVEL="warning")
        with house.process:
            get(f"{house.data}/training/trn_000001")
            yield {
                **house.settings,
                "PYTHONPATH": str(ROOT),
                "ADMIN": house.admin,
                "DATA": house.data,
                "UPSTREAM": address(process),
                "ID": "trn_000001",
                "CREDENTIAL": TOKEN,
                "TOKEN": TOKEN,
            }


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_what_is_typed_works(block: str, variables: dict[str, str]) -> None:
    """Exit code 0, something to read, and nothing on the error stream."""
    command = block.replace(".venv/bin/gateway", f"{sys.executable} -m gateway")

    typed = subprocess.run(
        ["bash", "-euc", STRICT + command],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (typed.returncode, typed.stderr) == (0, "")
    assert typed.stdout.strip()


def test_every_variable_is_introduced(variables: dict[str, str]) -> None:
    """What commands need is set in the first block, or explained below it."""
    used = set(re.findall(r"\$([A-Z_]+)", "".join(BLOCKS)))
    introduced = set(re.findall(r"export ([A-Z]+)=", FIRST)) | {"CREDENTIAL", "TOKEN"}

    assert used == introduced
    assert introduced <= variables.keys()
