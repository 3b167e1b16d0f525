"""What is handed out: wheel, source archive, chart, bills of materials.

`make package` makes them, `make image-bill` the bill of an image. The project names no address of
its own: those of home, source and icon are given when the chart is packaged.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import helm_python

import gateway

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "training-gateway"
SBOM = "training-gateway.cdx.json"
IMAGE_SBOM = "training-gateway-image.cdx.json"
# Nothing is asked of a network: a bill lists what is there, and judges nothing.
_TRIVY = (
    *("image", "--quiet", "--format", "cyclonedx", "--offline-scan", "--skip-db-update"),
    *("--skip-java-db-update", "--skip-version-check", "--disable-telemetry"),
)


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel, and the source archive that it can be made from again."""
    _run("hatchling", "build", "--directory", str(folder))
    stem = f"training_gateway-{gateway.__version__}"
    return folder / f"{stem}-py3-none-any.whl", folder / f"{stem}.tar.gz"


def bill(folder: Path) -> Path:
    """A bill of materials in CycloneDX: what requirements.lock pins, with all its hashes."""
    file = folder / SBOM
    project = ("--pyproject", "pyproject.toml", "--output-file", str(file))
    options = ("--no-validate", "--output-reproducible")
    _run("cyclonedx-py", "requirements", *options, *project, "requirements.lock")
    told = json.loads(file.read_text())
    # pyproject.toml has no version: it stands in the package.
    told["metadata"]["component"]["version"] = gateway.__version__
    for component in told["components"]:
        # A line of the lock, and an index's address that nobody needs.
        component.pop("description")
        for reference in component["externalReferences"]:
            reference["url"] = component["purl"]
    file.write_text(json.dumps(told, indent=1) + "\n")
    return file


def chart(folder: Path, addresses: Mapping[str, str]) -> Path:
    """The chart as an archive, with the addresses HOME_URL, SOURCE_URL and ICON_URL as far as they
    are given."""
    lines = {
        "home: {}\n": addresses.get("HOME_URL"),
        "sources: [{}]\n": addresses.get("SOURCE_URL"),
        "icon: {}\n": addresses.get("ICON_URL"),
    }
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(CHART, Path(place) / CHART.name))
        with (copy / "Chart.yaml").open("a") as file:
            file.writelines(
                line.format(json.dumps(given)) for line, given in lines.items() if given
            )
        return Path(helm_python.package(copy, destination=folder))


def image_bill(archive: Path, folder: Path) -> Path:
    """A bill of materials in CycloneDX of an image that `docker save` wrote: what the base brings
    and what the gateway adds."""
    file = folder / IMAGE_SBOM
    _run("trivy", *_TRIVY, "--input", str(archive), "--output", str(file))
    return file


def _run(program: str, *arguments: str) -> None:
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    DIST = ROOT / "dist"
    DIST.mkdir(exist_ok=True)
    if len(sys.argv) > 1:
        handed_out = [image_bill(Path(sys.argv[1]), DIST)]
    else:
        handed_out = [*build(DIST), bill(DIST), chart(DIST, os.environ)]
    for made in handed_out:
        sys.stdout.write(f"{made.relative_to(ROOT)}\n")
