"""Files that settings name: texts, secrets, certificates, and TOML files that are read again and
again while the gateway runs. Whether what they say is sound is not judged here.

No message shows a path that may be none: somebody may have put the secret itself there.

Such a file is parsed when it changes, in a process of its own, which can be ended: `tomllib` takes
minutes for some texts of a few kilobytes (a dotted key of many parts). A thread that parses cannot
be stopped, and shares the interpreter with the event loop meanwhile. What the file says is the
business of `access_files`.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from gateway.settings.types import Fault, SettingsFault

SECRET_FILE = "the path of a readable file that holds the secret"
_LARGEST_SECRET = 64 * 1024  # characters


@dataclass
class Unreadable(Exception):
    """There is nothing to be had from a file; `problem` says why, and quotes nothing."""

    problem: str


def read_text(
    path: Path, most: int | None = None, newline: str | None = None, *, again: bool = False
) -> str:
    """The file's text, of so many characters at most; `newline` as `open` has it. One that is read
    `again` and again is no pipe, whose writer may never come.

    Raises Unreadable in words that fit behind "a file that", as "is not UTF-8".
    """
    try:
        if again and path.is_fifo():
            raise Unreadable("is a pipe")
        with path.open(encoding="utf-8", newline=newline) as file:
            text = file.read(-1 if most is None else most + 1)
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8") from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not a possible path"
        raise Unreadable(f"cannot be read: {reason}") from None
    if most is not None and len(text) > most:
        raise Unreadable("is too large")
    return text


def read_secret(path: object, folder: Path | None = None, *, again: bool = False) -> str:
    """The text of the file, its last line break aside; raises Unreadable. A relative path counts
    from `folder`, or from the current one."""
    if not isinstance(path, str) or not path:
        raise Unreadable("is not a path")
    try:
        text = read_text((folder or Path()) / path, _LARGEST_SECRET, "", again=again)
    except Unreadable as why:
        tried = _tried(path, folder) if "cannot be read" in why.problem else ""
        raise Unreadable(f"names a file that {why.problem}{tried}") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise Unreadable("names an empty file")
    return text


def is_readable(path: Path) -> bool:
    """Whether there is a file, and one that may be read."""
    try:
        if not path.is_file():  # to open a pipe would wait for its writer
            return False
        with path.open("rb"):
            return True
    except OSError:
        return False


def unusable(cert: Path, key: Path) -> str | None:
    """Why a certificate and its key (PEM files) cannot be used for TLS, None where they can; a
    file that cannot be read is somebody else's complaint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a passphrase would else be asked for on the terminal.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "is not the key of the certificate"
        reason = (error.reason or "not readable as PEM").replace("_", " ").lower()
        return f"and its certificate cannot be used: {reason}"
    except OSError:
        return None
    return None


def _tried(path: str, folder: Path | None) -> str:
    """Where it was looked for: a name in a folder that is there is no secret."""
    tried = (folder or Path()).joinpath(path).absolute()
    named = Path(path).parent
    if named == Path():
        return f", in {tried.parent}"
    try:
        is_there = named != Path(named.anchor) and tried.parent.is_dir()
    except (OSError, ValueError):
        return ""
    return f", {tried}" if is_there else ""


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
