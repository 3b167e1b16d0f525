"""What the Dockerfile says, as far as one can tell without building it; `make image-test` does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gateway
from tests.delivery.chart import CHART, ROOT

RUNNING = (ROOT / "docs" / "running.md").read_text()
TEXT = (ROOT / "Dockerfile").read_text()


def test_what_builds_is_pinned_whole() -> None:
    """The lock of the tools that build has all that these need, which nobody resolves."""
    lock = (ROOT / "requirements-build.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))

    assert pinned == _needed("editables") | _needed("hatchling") | _needed("uv")


def test_the_base_is_pinned_by_its_digest_and_named_once() -> None:
    """A tag alone would build something else tomorrow."""
    bases = re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE)
    pinned = re.findall(r"^ARG PYTHON=\S+@sha256:[0-9a-f]{64}$", TEXT, re.MULTILINE)

    assert set(bases) == {"${PYTHON}"}
    assert len(pinned) == 1


def test_the_image_has_one_name() -> None:
    """What is said to be built is what compose and chart start, at our version."""
    image = f"training-gateway:{gateway.__version__}"
    said = [re.findall(r"docker build -t (\S+) \.", text) for text in (TEXT, RUNNING)]
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    ours = {each["image"] for each in services if "training-gateway" in each["image"]}
    values = yaml.safe_load((CHART / "values.yaml").read_text())["image"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert said == [[image], [image]]
    assert ours == {image}
    assert f"{values['repository']}:{values['tag'] or chart['appVersion']}" == image
    assert re.findall(r"^ARG VERSION=(\S+)$", TEXT, re.MULTILINE) == [gateway.__version__]


def test_the_builder_gets_nothing_but_what_the_image_is_made_of() -> None:
    """.dockerignore shuts everything out, and lets in what the Dockerfile names."""
    let_in = _let_in()

    assert let_in == {
        *("gateway", "config/container.toml", "pyproject.toml", "README.md"),
        *("requirements-otlp.lock", "requirements-build.lock"),
    }
    assert all((ROOT / name).exists() for name in let_in)


def test_what_the_builder_gets_is_enough(tmp_path: Path) -> None:
    """The wheel is built of that alone."""
    for name in _let_in():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)

    done = subprocess.run(
        [Path(sys.executable).with_name("hatchling"), "build", "-t", "wheel", "-d", "dist"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "dist").glob("*.whl"))) == 1


def _let_in() -> set[str]:
    """The files and folders that .dockerignore leaves to the builder."""
    text = (ROOT / ".dockerignore").read_text()
    first, *others = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert first == "*"
    return {line[1:] for line in others if line.startswith("!")}


def _needed(name: str) -> set[str]:
    """A package and all that it needs here, by its own word."""
    found: set[str] = set()
    ahead = [name]
    while ahead:
        found.add(current := ahead.pop())
        for each in map(Requirement, requires(current) or ()):
            if each.marker is None or each.marker.evaluate({"extra": ""}):
                ahead += {canonicalize_name(each.name)} - found
    return found
