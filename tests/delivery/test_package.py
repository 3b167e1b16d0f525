"""Wheel, source archive and bill of materials, tried as those who get them would."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import helm_python
import pytest
import yaml

import gateway
from tests.delivery import release
from tests.support.servers import ROOT, Process, answers, free_port

PIN = re.compile(r"^([a-z0-9-]+)==([^ ]+)", re.MULTILINE)
LOCK = (ROOT / "requirements.lock").read_text()
OTLP_LOCK = (ROOT / "requirements-otlp.lock").read_text()


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and source archive."""
    return release.build(tmp_path_factory.mktemp("dist"))


def names(wheel: Path) -> set[str]:
    """The files in a wheel, its own list of them aside."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("RECORD")}


def test_the_wheel_says_what_it_is(dist: tuple[Path, Path]) -> None:
    """Its version is gateway.__version__, and it asks for what pyproject.toml does."""
    with zipfile.ZipFile(dist[0]) as archive:
        (file,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        told = Parser().parsestr(archive.read(file).decode())

    assert told["Version"] == gateway.__version__
    lines = told.get_all("Requires-Dist", [])
    asked = {_name_of(line) for line in lines if "extra ==" not in line}
    assert asked <= {name for name, _ in PIN.findall(LOCK)}
    assert len(asked) > 5
    extra = {_name_of(line) for line in lines if "extra ==" in line}
    assert extra
    assert extra <= {name for name, _ in PIN.findall(OTLP_LOCK)}


def _name_of(line: str) -> str:
    return re.split(r"[\[><=; ]", line)[0].lower()


def test_the_source_archive_makes_the_same_wheel(dist: tuple[Path, Path], tmp_path: Path) -> None:
    """Whoever has only that builds the same, and finds the example settings beside it."""
    with tarfile.open(dist[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    hatchling = Path(sys.executable).with_name("hatchling")
    subprocess.run(
        [hatchling, "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")

    assert names(wheel) == names(dist[0])
    assert {path.name for path in (source / "config").iterdir()} >= {"gateway.toml", "examples"}


def test_pipx_installs_it(dist: tuple[Path, Path], tmp_path: Path) -> None:
    """With what the lock pins, in an environment of its own; the command starts and ends."""
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in PIN.findall(LOCK)))
    pins = ("--pip-args", f"--constraint {constraints}")

    _pipx(tmp_path, "install", "--backend", "uv", *pins, str(dist[0]))

    command = str(tmp_path / "bin" / "gateway")
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    with _served(command, tmp_path) as process:
        exit_code = process.stop()
    assert version.stdout.strip() == f"gateway {gateway.__version__}"
    assert exit_code == 0


def test_the_chart_names_the_addresses_that_are_given(tmp_path: Path) -> None:
    """With all of them `helm lint` misses nothing; without, they are not made up."""
    addresses = {
        "HOME_URL": "https://docs.test/gateway",
        "SOURCE_URL": "https://git.test/gateway",
        "ICON_URL": "https://docs.test/gateway.svg",
    }
    told = {}
    for folder, given in (("named", addresses), ("plain", {})):
        archive = release.chart(tmp_path / folder, given)
        assert archive.name == f"training-gateway-{gateway.__version__}.tgz"
        with tarfile.open(archive) as packed:
            packed.extractall(tmp_path / folder, filter="data")
        chart = tmp_path / folder / "training-gateway"
        told[folder] = yaml.safe_load((chart / "Chart.yaml").read_text())
        messages = helm_python.lint(chart, {}, strict=True)["messages"]
        assert [each["error"] for each in messages] == ([] if given else ["icon is recommended"])

    named, plain = told["named"], told["plain"]
    assert (named["home"], named["sources"], named["icon"]) == (
        addresses["HOME_URL"],
        [addresses["SOURCE_URL"]],
        addresses["ICON_URL"],
    )
    assert {"keywords", "maintainers", "appVersion"} <= plain.keys()
    assert not {"home", "sources", "icon"} & plain.keys()


def test_the_bill_of_an_image_lists_its_packages(tmp_path: Path) -> None:
    """Of an archive with one layer, which has one package: `make image-test` asks a real one."""
    layer = tmp_path / "layer.tar"
    record = tmp_path / "METADATA"
    record.write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.2.3\n")
    with tarfile.open(layer, "w") as file:
        place = "opt/gateway/lib/python3.13/site-packages/made_up-1.2.3.dist-info/METADATA"
        file.add(record, place)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}"]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    manifest = [{"Config": "config.json", "RepoTags": ["made:up"], "Layers": ["layer.tar"]}]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    archive = tmp_path / "image.tar"
    with tarfile.open(archive, "w") as file:
        for name in ("manifest.json", "config.json", "layer.tar"):
            file.add(tmp_path / name, name)

    told = json.loads(release.image_bill(archive, tmp_path).read_text())

    assert told["bomFormat"] == "CycloneDX"
    assert ("made-up", "1.2.3") in {
        (each["name"], each.get("version")) for each in told["components"]
    }


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_bill_lists_what_is_shipped(tmp_path: Path) -> None:
    """Every pin of the lock, once, with its hashes; and the gateway itself at its version."""
    told = json.loads(release.bill(tmp_path).read_text())

    component = told["metadata"]["component"]
    assert (component["name"], component["version"]) == ("training-gateway", gateway.__version__)
    listed = [(each["name"], each["version"]) for each in told["components"]]
    assert sorted(listed) == sorted(PIN.findall(LOCK))
    hashes = {
        each["content"]
        for part in told["components"]
        for reference in part["externalReferences"]
        for each in reference["hashes"]
    }
    assert hashes == set(re.findall(r"sha256:([0-9a-f]{64})", LOCK))


def _pipx(folder: Path, *arguments: str) -> None:
    """Run pipx with a home of its own; uv has most packages already."""
    beside = Path(sys.executable).parent
    cache = subprocess.run(
        [beside / "uv", "cache", "dir"], capture_output=True, text=True, check=True
    )
    environment = {
        "PATH": f"{beside}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PIPX_HOME": str(folder / "pipx"),
        "PIPX_BIN_DIR": str(folder / "bin"),
        "UV_CACHE_DIR": cache.stdout.strip(),
        "UV_SYSTEM_CERTS": "1",
    }
    done = subprocess.run(
        [beside / "pipx", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _served(command: str, folder: Path) -> Process:
    port, admin = free_port(), free_port()
    return Process(
        [command, "serve"],
        log=folder / "gateway.log",
        ready=lambda: answers(f"http://127.0.0.1:{admin}/readyz"),
        environment={
            "GATEWAY_SERVER__PORT": str(port),
            "GATEWAY_ADMIN__PORT": str(admin),
        },
        is_gateway=True,
    )
