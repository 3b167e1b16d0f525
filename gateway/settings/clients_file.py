"""The clients file as it is read again and again: parsed only when something changed.

Lives here: telling that nothing did. To parse a file takes a process, which twice a second would
be a good part of a core.
"""

from __future__ import annotations

from pathlib import Path

from gateway.core.rates import Rate
from gateway.settings.clients import ClientsGiven, parse_clients, text_of
from gateway.settings.faults import Fault, SettingsFault
from gateway.settings.secret_files import Unreadable, read_secret

Look = ClientsGiven | SettingsFault


class ClientsFile:
    """One file, and the files of the tenants' tokens; `usual` as `read_clients` has it.

    They are read whole at every look, which needs nothing of the file system: so it works with
    the links that Kubernetes swaps, and on network drives.
    """

    def __init__(self, path: Path, usual: Rate | None) -> None:
        self._path = path
        self._usual = usual
        self._text: str | None = None
        self._secrets: dict[str, tuple[object, str | Fault]] = {}
        self._found: Look | None = None

    def look(self) -> Look:
        """What is there, or what is wrong with it; the same object while nothing changed."""
        try:
            text = text_of(self._path)
        except SettingsFault as fault:
            self._found = None
            return fault
        if self._found is None or text != self._text or self._has_other_secrets():
            self._text = text
            self._found = self._parse(text)
        return self._found

    def _has_other_secrets(self) -> bool:
        return any(self._read(name, path) != read for name, (path, read) in self._secrets.items())

    def _parse(self, text: str) -> Look:
        self._secrets = {}
        try:
            return parse_clients(text, self._usual, self._secret_of)
        except SettingsFault as fault:
            return fault

    def _secret_of(self, name: str, path: object) -> str:
        read = self._read(name, path)
        self._secrets[name] = path, read
        if isinstance(read, Fault):
            raise Unreadable(read)
        return read

    def _read(self, name: str, path: object) -> str | Fault:
        folder = self._path.parent
        try:
            if isinstance(path, str) and (folder / path).is_fifo():  # its writer may never come
                return Fault(name, "names a pipe", "the path of a file that can be read again")
            return read_secret(name, path, folder)
        except Unreadable as unreadable:
            return unreadable.fault
        except (OSError, ValueError):
            return Fault(name, "names a file that cannot be read", "the path of a readable file")
