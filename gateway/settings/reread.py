"""A TOML file that is read again and again while the gateway runs, and parsed when it changes.

It is parsed in a process of its own, which can be ended: `tomllib` takes minutes for some texts of
a few kilobytes (a dotted key of many parts). A thread that parses cannot be stopped, and shares the
interpreter with the event loop meanwhile. What the file says is the business of `access_files`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from gateway.settings.files import Unreadable, read_secret, read_text
from gateway.settings.types import Fault, SettingsFault

# Characters: some 6,000 clients.
_LARGEST = 1024 * 1024
_LONGEST_LINE = 16 * 1024
# Seconds; a file of the largest size takes a fifth of one, where the machine is at rest.
_PATIENCE = 10.0

G = TypeVar("G")
Secret = str | Unreadable
# Reads a file of a secret that the tables name; a relative path counts from the file's folder.
Read = Callable[[object], Secret]
# What the tables say, with the secrets that were read; raises SettingsFault.
Parse = Callable[[Mapping[str, object], Read], G]


class RereadFile(Generic[G]):
    """The file that `setting` names, which should be `wanted`, with those of secrets in it.

    It is parsed only when something changed: that takes a process, which twice a second would be a
    good part of a core. All are read whole at every look, which needs nothing of the file system:
    so it works with the links that Kubernetes swaps, and on network drives.
    """

    def __init__(self, path: Path, parse: Parse[G], *, setting: str, wanted: str) -> None:
        self._path = path
        self._parse = parse
        self._setting = setting
        self._wanted = wanted
        self._text: str | None = None
        self._secrets: list[tuple[object, Secret]] = []
        self._found: G | SettingsFault | None = None

    def look(self) -> G | SettingsFault:
        """What is there, or what is wrong with it; the same object while nothing changed."""
        try:
            text = read_text(self._path, _LARGEST, again=True)
        except Unreadable as why:
            tried = f", {self._path.absolute()}" if "cannot be read" in why.problem else ""
            self._found = None
            return self._faulty(f"{why.problem}{tried}")
        changed = any(self._read(path) != read for path, read in self._secrets)
        if self._found is None or text != self._text or changed:
            self._text = text
            self._found = self._parsed(text)
        return self._found

    def given(self) -> G:
        """What is there; raises SettingsFault with all that is wrong, each with its place."""
        look = self.look()
        if isinstance(look, SettingsFault):
            raise look
        return look

    def _parsed(self, text: str) -> G | SettingsFault:
        self._secrets = []
        try:
            if any(len(line) > _LONGEST_LINE for line in text.split("\n")):
                raise Unreadable("has a line that is too long")
            return self._parse(parse_toml(text, _PATIENCE), self._read_and_keep)
        except Unreadable as why:
            return self._faulty(why.problem)
        except SettingsFault as fault:
            return fault

    def _read_and_keep(self, path: object) -> Secret:
        read = self._read(path)
        self._secrets.append((path, read))
        return read

    def _read(self, path: object) -> Secret:
        try:
            return read_secret(path, self._path.parent, again=True)
        except Unreadable as why:
            return why

    def _faulty(self, problem: str) -> SettingsFault:
        wanted = f"a readable TOML file of {self._wanted}"
        return SettingsFault((Fault(self._setting, f"names a file that {problem}", wanted),))


# It says the tables, or in which way the text has none. A date becomes null: no setting is one.
# A text that takes long gives way to requests. Others do not: on a busy machine a revoked key would
# be served for seconds more.
_CHILD = """
import json, os, signal, sys, tomllib
signal.signal(signal.SIGPROF, lambda *_: os.nice(10))
signal.setitimer(signal.ITIMER_PROF, 0.2)
try:
    answer = {"tables": tomllib.loads(sys.stdin.buffer.read().decode())}
    answer = json.dumps(answer, default=lambda _: None)
except tomllib.TOMLDecodeError as error:
    answer = json.dumps({"refused": str(error)})
except RecursionError:
    answer = json.dumps({"failed": "is nested too deeply"})
except ValueError:
    answer = json.dumps({"failed": "has a number that is too long"})
sys.stdout.write(answer)
"""
_PLACE = re.compile(r" \(at [a-z0-9 ,]+\)")


def parse_toml(text: str, seconds: float) -> Mapping[str, object]:
    """The tables of the text, within so many seconds.

    Raises Unreadable in words that fit behind "a file that", and that quote nothing.
    """
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _CHILD],
            input=text.encode(),
            capture_output=True,
            check=True,
            timeout=seconds,
            start_new_session=True,  # a terminal's Ctrl-C is not for it
        )
        answer = json.loads(child.stdout)
    except subprocess.TimeoutExpired:
        raise Unreadable(f"takes more than {seconds:g} s to parse") from None
    except (OSError, subprocess.CalledProcessError):
        raise Unreadable("could not be parsed: the process that parses it failed") from None
    except RecursionError:
        raise Unreadable("is nested too deeply") from None
    if "tables" in answer:
        tables: dict[str, object] = answer["tables"]
        return tables
    place = _PLACE.search(answer.get("refused", ""))
    raise Unreadable(answer.get("failed") or f"is not TOML{place[0] if place else ''}")
