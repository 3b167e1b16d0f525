"""What is handed out: wheel, source archive, bill of materials; `make package` makes them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gateway

ROOT = Path(__file__).resolve().parents[2]
SBOM = "training-gateway.cdx.json"


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


def _run(program: str, *arguments: str) -> None:
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    DIST = ROOT / "dist"
    DIST.mkdir(exist_ok=True)
    for made in (*build(DIST), bill(DIST)):
        sys.stdout.write(f"{made.relative_to(ROOT)}\n")
