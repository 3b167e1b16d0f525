"""Images and containers by buildah and podman, in a store of their own, without a network.

The base is a stand-in: a Debian of the same release with its Python, by mmdebstrap.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.servers import ROOT, wait_until

PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap")
SOURCE = "https://git.test/training-gateway"
BASE, IMAGE = "localhost/python-stand-in", "localhost/training-gateway"
# Where the rights to raise them are missing, the defaults cannot be set.
LIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=20000:20000")
CERTIFICATES = "/etc/ssl/certs:/etc/ssl/certs:ro"
# As the chart runs it.
HARDENED = (
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:size=16m"),
    *("--cap-drop=ALL", "--security-opt", "no-new-privileges"),
)


def missing() -> list[str]:
    """What is not there: programs, or the rights of root."""
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    return programs + ([] if os.geteuid() == 0 else ["root"])


class Store:
    """Images and containers below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        places = ("--root", str(folder / "store"), "--runroot", str(folder / "run"))
        self._where = ("--storage-driver", "vfs", *places)

    def buildah(self, *arguments: str, seconds: float = 600) -> str:
        """What the command prints; raises with all it said where it fails."""
        return _run("buildah", *self._where, *arguments, seconds=seconds)

    def podman(self, *arguments: str, seconds: float = 120) -> str:
        """The same for podman."""
        return _run("podman", *self._where, "--runtime", "runc", *arguments, seconds=seconds)

    def make_base(self) -> None:
        """The stand-in for the base image."""
        archive = self._folder / "base.tar"
        packages = "--include=python3-venv,ca-certificates"
        _run("mmdebstrap", "--quiet", "--variant=minbase", packages, "trixie", str(archive))
        container = self.buildah("from", "scratch").strip()
        self.buildah("add", "--quiet", container, str(archive))
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.buildah("config", "--env", path, container)
        self.buildah("commit", "--quiet", "--rm", container, BASE)
        archive.unlink()

    def make_image(self, version: str) -> None:
        """The image, by the Dockerfile in the tree."""
        self.buildah(
            *("bud", "--isolation", "chroot", "--network", "host", "--pull=never"),
            *("--format", "docker", "--layers=false", "--volume", CERTIFICATES, *LIMITS),
            *("--build-arg", f"PYTHON={BASE}", "--build-arg", f"VERSION={version}"),
            *("--build-arg", f"SOURCE={SOURCE}", "--build-arg", f"DOCUMENTATION={SOURCE}/docs"),
            *("--tag", IMAGE, str(ROOT)),
        )

    def save(self, folder: Path) -> Path:
        """The image as an archive, as `docker save` writes it."""
        archive = folder / "image.tar"
        self.podman("save", "--quiet", "--output", str(archive), IMAGE, seconds=600)
        return archive

    def inspect(self, image: str) -> dict[str, Any]:
        """All that is known of an image."""
        found: dict[str, Any] = json.loads(self.podman("image", "inspect", image))[0]
        return found

    @contextmanager
    def run(self, name: str, *options: str, command: tuple[str, ...] = ()) -> Iterator[Container]:
        """A container of the image with these options of `podman run`, removed at the end."""
        self.podman("run", "--detach", "--name", name, *LIMITS, *options, IMAGE, *command)
        try:
            yield Container(self, name)
        finally:
            self.podman("rm", "--force", "--time", "1", name)


class Container:
    """A running container."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name

    def exec(self, *command: str) -> str:
        """What the command prints inside."""
        return self._store.podman("exec", self.name, *command)

    def ask(self, url: str, body: str = "", method: str = "") -> tuple[int, str]:
        """Status and body of a request from within; a GET, or with a body a POST, unless named."""
        status, text = json.loads(self.exec("python", "-c", _ASK, url, body, method))
        return status, text

    def await_ready(self, url: str) -> None:
        """Wait until the URL is answered with 200."""
        wait_until(lambda: self.ask(url)[0] == 200, 60, f"{self.name} answers {url}")

    def stop(self, grace: int) -> int:
        """SIGTERM, SIGKILL after the grace; the exit code."""
        self._store.podman("stop", "--time", str(grace), self.name)
        state = json.loads(self._store.podman("inspect", self.name))[0]["State"]
        return int(state["ExitCode"])

    def check_health(self) -> None:
        """What the image's HEALTHCHECK says; raises where it is not content."""
        self._store.podman("healthcheck", "run", self.name)

    def logs(self) -> str:
        """All that it printed."""
        return self._store.podman("logs", self.name)


# The callers' and the control's requests; the container has Python and nothing else to ask with.
_ASK = """
import json, sys, urllib.error, urllib.request
headers = {"Authorization": "Bearer demo-token"}
url, body, method = sys.argv[1:]
request = urllib.request.Request(url, body.encode() or None, headers, method=method or None)
try:
    answer = urllib.request.urlopen(request, timeout=30)
except urllib.error.HTTPError as refusal:
    answer = refusal
except OSError as away:
    print(json.dumps([0, str(away)]))
    sys.exit()
print(json.dumps([answer.status, answer.read().decode()]))
"""


def _run(*command: str, seconds: float = 600) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout
