"""A caching proxy under test, as its description says: how to start it, and how to purge.

Descriptions are targets/*.toml, and may name templates beside them.
Placeholders: $folder $port $admin_port $upstream_port $redis_port $python $root $lifetime (s)
$timeout (s) $longer (a second more) $limit (a rate as the gateway writes it) $calls in $window (s)
$calls_a_minute and, in a purge, $id and $token.
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from string import Template

import httpx
import msgspec

from tests.support.servers import HOST, ROOT, Process, answers, free_port, listens

FOLDER = Path(__file__).parent / "targets"
Values = Mapping[str, object]


class Purge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The request that makes a training's stored answers go."""

    url: str
    method: str = "POST"
    headers: dict[str, str] = {}
    body: str = ""


class Stated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where JSON states how old an answer can be: the path of the seconds, its parts joined by
    dots, and what has to stand at which other paths for that to be in force."""

    url: str
    seconds: str
    once: dict[str, str] = {}


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One description.

    `needs`: programs that have to be installed; `ready`: a URL that answers 200 once it serves
    (absent: its port accepts); `files`: what is written into its folder, and the template of
    each; `shared`: variables that join several nodes by a Redis; `ahead`: those that let it refresh
    ahead of its readers, with the token alice-token for all; `only`: the checks it is for.
    """

    name: str
    what: str
    command: list[str]
    needs: list[str] = []
    ready: str | None = None
    environment: dict[str, str] = {}
    shared: dict[str, str] = {}
    ahead: dict[str, str] = {}
    files: dict[str, str] = {}
    purge: Purge | None = None
    bound: Stated | None = None
    only: list[str] = []

    @property
    def missing(self) -> list[str]:
        """What it needs and this machine lacks: programs, and files by their paths."""
        return [each for each in self.needs if not _is_here(each)]


def _is_here(needed: str) -> bool:
    if Path(needed).is_absolute():
        return Path(needed).is_file()
    return shutil.which(needed, path=_PATH) is not None


_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


class Node:
    """One process of a target."""

    def __init__(
        self, target: Target, folder: Path, values: Values, more: Mapping[str, str]
    ) -> None:
        port, admin = free_port(), free_port()
        own = folder / f"{target.name.replace(' ', '-')}-{port}"
        own.mkdir()
        user = "user root;" if os.geteuid() == 0 else ""
        self._values = {
            **values,
            "folder": own,
            "port": port,
            "admin_port": admin,
            "python": sys.executable,
            "root": ROOT,
            "user": user,
        }
        self.url = f"http://{HOST}:{port}"
        self._target = target
        for name, template in target.files.items():
            (own / name).write_text(self._filled((FOLDER / template).read_text()))
        environment = {**target.environment, **more}
        self.process = Process(
            [self._filled(word) for word in target.command],
            log=folder / f"{own.name}.log",
            ready=self._is_ready,
            environment={"PATH": _PATH} | {k: self._filled(v) for k, v in environment.items()},
        )

    def purge(self, **values: object) -> Purge | None:
        """The request that purges, its placeholders filled."""
        purge = self._target.purge
        if purge is None:
            return None
        return Purge(
            url=self._filled(purge.url, **values),
            method=purge.method,
            headers={k: self._filled(v, **values) for k, v in purge.headers.items()},
            body=self._filled(purge.body, **values),
        )

    @property
    def stated(self) -> Stated | None:
        """Where it says how old its answers can be, placeholders filled; None: nowhere."""
        stated = self._target.bound
        return stated and msgspec.structs.replace(stated, url=self._filled(stated.url))

    def bound(self) -> float | None:
        """What it states, seconds; None while that is not in force."""
        stated = self.stated
        if stated is None:
            return None
        said = httpx.get(stated.url, timeout=5, trust_env=False).json()
        if any(_at(said, path) != value for path, value in stated.once.items()):
            return None
        return float(str(_at(said, stated.seconds)))

    def _is_ready(self) -> bool:
        if self._target.ready is None:
            return listens(int(str(self._values["port"])))
        return answers(self._filled(self._target.ready))

    def _filled(self, text: str, **values: object) -> str:
        return Template(text).substitute({**self._values, **values})


def _at(said: object, path: str) -> object:
    for name in path.split("."):
        said = said.get(name) if isinstance(said, dict) else None
    return said


def targets() -> dict[str, Target]:
    """All descriptions, by name; raises ValueError that says which file is wrong, and how."""
    found = {}
    for file in sorted(FOLDER.glob("*.toml")):
        try:
            target = msgspec.convert(tomllib.loads(file.read_text()), Target)
        except (msgspec.ValidationError, tomllib.TOMLDecodeError) as fault:
            raise ValueError(f"{file.name} describes no target: {fault}") from fault
        found[target.name] = target
    return found
