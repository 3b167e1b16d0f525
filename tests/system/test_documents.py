"""README and `docs/`, followed as a newcomer would: every command runs and shows what it says.

A block that starts a server begins a scene; the blocks after it, up to the next such block, are
what one types in another terminal. A page that starts no server has one scene, with the gateway of
docs/running.md. Ports and addresses are replaced by free ones and by servers of the test; nothing
else is.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.config_file import shown as settings_shown
from tests.support.servers import ROOT, Process, answers, free_port

DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SIMULATOR = re.compile(r"^\.venv/bin/gateway simulate\b.*\n$")
WITHOUT_ACCOUNT = re.compile(r"^export GATEWAY_UPSTREAM__BASE_URL=.*\n$")
SERVE = ".venv/bin/gateway serve"
SERVERS = re.compile(rf"^(make run|{re.escape(SERVE)})$", re.MULTILINE)
# Not run from here, and why.
EXCEPTED = {
    "make setup": "made the environment that this test runs in",
    "make check": "would run the linters once more within the tests",
    "make test": "is what runs this test",
    "make drills": "takes minutes: the long form of what the tests beside this one do",
    "make torture": "takes a quarter of an hour: test_torture puts the same to this gateway",
    "make fuzz": "takes an hour: the long form of tests/fuzz",
    "make package": "is tried by tests/delivery/test_package.py",
    "pipx install dist/training_gateway-*.whl": "is tried by tests/delivery/test_package.py",
    "docker build -t training-gateway:0.1.0 .": "is tried by `make image-test`, with buildah",
    "docker compose up --build": "fetches images; tests/delivery/test_config_examples.py reads it",
    "helm install gateway helm/training-gateway --set image.repository=registry.example/"
    "training-gateway --set redis.url=redis://redis:6379": (
        "needs a cluster; tests/delivery/test_chart_rendered.py renders it"
    ),
    "helm upgrade gateway helm/training-gateway --reuse-values --set image.tag=0.2.0": (
        "needs a cluster; tests/system/test_rolling_update.py replaces one process after the other"
    ),
    "helm rollback gateway": "needs a cluster; tests/integration/test_releases.py mixes versions",
}


@dataclass(slots=True)
class Scene:
    """A document, a server's block, and what is typed while it runs: command and what it is said
    to show."""

    document: str
    server: str
    typed: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.document}: {self.server.splitlines()[-1]}"


def _scenes() -> list[Scene]:
    scenes = [scene for name, text in DOCUMENTS.items() for scene in _scenes_of(name, text)]
    return [scene for scene in scenes if scene.typed or scene.server != f"{SERVE}\n"]


def _scenes_of(document: str, text: str) -> Iterator[Scene]:
    """The last one may be empty: a page without commands."""
    scene = Scene(document, f"{SERVE}\n")
    for language, block in BLOCK.findall(text):
        if SERVERS.search(block):
            if scene.typed:
                yield scene
            scene = Scene(document, block)
        elif language == "sh" and not _is_apart(block):
            scene.typed.append((block, ""))
        elif language == "text" and scene.typed:
            command, _ = scene.typed.pop()
            scene.typed.append((command, block))
    yield scene


def _is_apart(block: str) -> bool:
    """Whether the block is no part of a scene: it comes before all of them, or is not run."""
    before = SIMULATOR.match(block) or WITHOUT_ACCOUNT.match(block)
    return bool(before) or all(line in EXCEPTED for line in block.splitlines())


def _block(pattern: re.Pattern[str]) -> str:
    """The one block that matches."""
    (found,) = [
        block
        for text in DOCUMENTS.values()
        for _, block in BLOCK.findall(text)
        if pattern.match(block)
    ]
    return str(found)


class Stage:
    """The words of the documents as they hold in this test."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.ports = {usual: str(free_port()) for usual in ("8080", "8081", "8090", "8190")}
        self.environment = {
            "PYTHONPATH": str(ROOT),
            "GATEWAY_SERVER__PORT": self.ports["8080"],
            "GATEWAY_ADMIN__PORT": self.ports["8081"],
        }
        gateway = f"{sys.executable} -m gateway"
        demo = " ".join(
            (gateway, "demo", "--port", self.ports["8080"], "--admin-port", self.ports["8081"])
        )
        self._words = {
            "make run": f"exec {demo} --simulator-port {self.ports['8090']}",
            SERVE: f"exec {gateway} serve",
            **{
                f".venv/bin/gateway {name}": f"{gateway} {name} --admin {self._admin}"
                for name in ("status", "explain", "invalidate", "purge", "mode")
            },
            ".venv/bin/gateway": gateway,
            ".venv/bin/python": sys.executable,
            "redis://127.0.0.1:6379": redis_url,
            "--port 8190": f"--port {self.ports['8190']}",
            **{f"127.0.0.1:{usual}": f"127.0.0.1:{port}" for usual, port in self.ports.items()},
        }
        exported = shlex.split(self._staged(_block(WITHOUT_ACCOUNT)))[1:]
        self.environment |= dict(each.split("=", 1) for each in exported)

    @property
    def _admin(self) -> str:
        return f"http://127.0.0.1:{self.ports['8081']}"

    def upstream(self) -> Process:
        """The simulated API of those without an account."""
        command = f"exec {self._staged(_block(SIMULATOR))}"
        return self._process(command, "upstream", f"{self.ports['8190']}/_control/stats")

    def server(self, block: str) -> Process:
        """The server that the block starts."""
        return self._process(self._staged(block), "server", f"{self.ports['8080']}/readyz")

    def _process(self, command: str, name: str, place: str) -> Process:
        return Process(
            ["bash", "-euc", command],
            log=self.folder / f"{name}.log",
            ready=lambda: answers(f"http://127.0.0.1:{place}"),
            environment=self.environment,
            is_gateway=True,
        )

    def type(self, block: str) -> str:
        """What the block prints; each command of it has to succeed."""
        strict = 'curl() { command curl --fail --silent --show-error "$@"; }\n'
        done = subprocess.run(
            ["bash", "-euc", strict + self._staged(block)],
            env={"PATH": os.environ["PATH"], **self.environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            pytest.fail(f"{block}{done.stdout[-2000:]}{done.stderr}", pytrace=False)
        return done.stdout

    def _staged(self, block: str) -> str:
        pattern = re.compile("|".join(map(re.escape, self._words)))
        return pattern.sub(lambda match: self._words[match[0]], block)


@pytest.mark.parametrize("scene", _scenes(), ids=str)
def test_what_is_typed_shows_what_is_promised(scene: Scene, tmp_path: Path, redis_url: str) -> None:
    """The server starts, each block succeeds, and each line shown below it is printed."""
    stage = Stage(tmp_path, redis_url)
    with stage.upstream(), stage.server(scene.server) as server:
        missing = [
            line
            for block, promised in scene.typed
            for shown in [_timeless(stage.type(block))]
            for line in _timeless(promised).splitlines()
            if line not in shown
        ]
        exit_code = server.stop()

    assert missing == []
    assert scene.typed
    assert exit_code == 0
    assert _unignored(tmp_path) == []


def _unignored(folder: Path) -> list[str]:
    """The files that the scene made and that Git would offer to commit."""
    made = [each.name for each in folder.iterdir() if each.suffix != ".log"]
    command = ["git", "check-ignore", "--no-index", "--verbose", "--non-matching", *made]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [line for line in told.splitlines() if line.startswith("::")]


def test_every_block_is_run_or_excepted() -> None:
    """No command escapes: its block is in a scene, or each line is excepted."""
    scenes = _scenes()
    run = {block for scene in scenes for block in (scene.server, *(t for t, _ in scene.typed))}
    run |= {_block(SIMULATOR), _block(WITHOUT_ACCOUNT)}
    left = [
        line
        for text in DOCUMENTS.values()
        for language, block in BLOCK.findall(text)
        if language == "sh" and block not in run
        for line in block.splitlines()
    ]

    assert [line for line in left if line not in EXCEPTED] == []
    assert set(left) == set(EXCEPTED)
    assert {scene.document for scene in scenes} > {"README.md", "docs/running.md"}
    assert len(run) > 5


def test_each_block_says_what_it_is() -> None:
    """A block without a language would be read by no test."""
    fences = [re.findall(r"^ *```(.*)$", text, re.MULTILINE) for text in DOCUMENTS.values()]

    assert {language for each in fences for language in each[::2]} <= {"sh", "text"}


def test_make_run_is_the_demo() -> None:
    """What stands in for `make run` here is what it starts."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == ".venv/bin/gateway demo"
    assert done.stderr == ""  # such as of a recipe that stands there twice


def test_the_settings_shown_have_these_defaults() -> None:
    """The table of settings repeats the real defaults."""
    defaults = {each.name: each.default_text for each in settings_shown()}
    table = DOCUMENTS["docs/settings.md"].partition("| setting |")[2].partition("\n\n")[0]
    rows = [row.split(" | ") for row in table.splitlines()[2:]]

    shown = {
        name: default.strip("`")
        for names, said, *_ in rows
        for name, default in _pairs(re.findall(r"`([^`]+)`", names), said)
    }
    assert shown == {name: defaults[name] for name in shown}
    assert len(shown) >= 10


def _pairs(names: list[str], said: str) -> list[tuple[str, str]]:
    values = said.split(", ")
    return list(zip(names, values if len(values) > 1 else values * len(names), strict=True))


def _timeless(text: str) -> str:
    return re.sub(r"ttl=\d+", "ttl=N", text)
