"""A setting added end to end: a line in the schema, one in the file, and `make chart`."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.delivery.chart import CHART, ROOT
from tests.support.config_file import FILE

SCHEMA = Path("gateway/settings/schema.py")
IN_SCHEMA = "    max_wait: types.Duration = 3.0\n"
IN_FILE = '# how long a caller waits\nmax_wait = "3s"\n'
ASKED = """
from pathlib import Path
from gateway.settings import SettingsFault, effective, load
print(effective(load(Path("config/gateway.toml"), {}))["upstream.max_wait"])
print(load(None, {"GATEWAY_UPSTREAM__MAX_WAIT": "5s"}).upstream.max_wait)
try:
    load(None, {"GATEWAY_UPSTREAM__MAX_WAIT": "soon"})
except SettingsFault as fault:
    print(fault)
"""


def test_a_setting_takes_a_line_in_the_schema_and_one_in_the_file(tmp_path: Path) -> None:
    """The rest is made: it is read, judged and shown, and the chart takes it."""
    for name in ("gateway", "config", "dashboards", "helm", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    schema, file = tmp_path / SCHEMA, tmp_path / FILE.relative_to(ROOT)
    _insert(schema, "    max_list_body: types.Size", IN_SCHEMA)
    _insert(file, "# the largest page of the list", IN_FILE)

    told = _run(tmp_path, "-c", ASKED).splitlines()
    _run(tmp_path, "-m", "tests.delivery.chart")
    values, table = (_added(tmp_path, name) for name in ("values.yaml", "README.md"))

    assert told == [
        "3s",
        "5.0",
        'upstream.max_wait: "soon" is not a duration (wanted: seconds or "30s", "5m", "24h")',
    ]
    assert values == ["    # how long a caller waits", '    max_wait: "3s"']
    assert table == ['| `config.upstream.max_wait` | `"3s"` | how long a caller waits |']
    _run(tmp_path, "-m", "pytest", "-q", "tests/unit/settings/test_config_file.py")


def _insert(path: Path, before: str, line: str) -> None:
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, line + before))


def _run(folder: Path, *arguments: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _added(folder: Path, name: str) -> list[str]:
    """The lines of a file of the chart that were not there, none having gone."""
    before, after = (CHART / name, folder / CHART.relative_to(ROOT) / name)
    changes = list(difflib.ndiff(before.read_text().splitlines(), after.read_text().splitlines()))
    assert not [line for line in changes if line.startswith("- ")]
    return [line[2:] for line in changes if line.startswith("+ ")]
