"""The clients file: who may ask, with the upstream's token of each tenant.

Read here and nowhere else. No message shows a key, a digest, a token or a name that is not
one: somebody may have put a key in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, TypeVar

from gateway.core.access.clients import KEY_PREFIX, Client, Tenant
from gateway.core.budget.rates import Rate
from gateway.settings.faults import Fault, SettingsFault
from gateway.settings.files import SECRET_FILE, Unreadable, read_secret, read_text
from gateway.settings.kinds import RATE, Kind, Token, kind_of
from gateway.settings.section import Section, judge
from gateway.settings.toml_process import parse_toml

_SETTING = "access.clients_file"
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
# A key or a digest in place of a name would stand in every log line.
_NAME = re.compile(rf"(?!{KEY_PREFIX}|{_DIGEST.pattern}$)[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
# Characters: some 6,000 clients.
_LARGEST = 1024 * 1024
_LONGEST_LINE = 16 * 1024
# Seconds; a file of the largest size takes a fifth of one, where the machine is at rest.
_PATIENCE = 10.0
_TOKEN_FILE = "upstream_token_file"
_NEEDED = ("name", "key_sha256", "tenant")


Table = Mapping[str, object]


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError
    return value


def _digests(value: object) -> tuple[str, ...]:
    several = value if isinstance(value, list) else [value]
    digests = tuple(
        each.lower() for each in several if isinstance(each, str) and _DIGEST.fullmatch(each)
    )
    if not digests or len(digests) < len(several):
        raise ValueError
    return digests


# Each is kept as a secret is: no message shows what was written.
_Name = Annotated[
    str, Kind("a name", "1 to 64 characters from A-Z a-z 0-9 . _ -, no key", _name, secret=True)
]
_TenantName = Annotated[str, Kind("a name", "the name of one of [[tenants]]", _name, secret=True)]
_Digests = Annotated[
    tuple[str, ...],
    Kind(
        "a SHA-256",
        "the SHA-256 of a key in 64 hex digits, or a list of them; see gateway hash-key",
        _digests,
        secret=True,
    ),
]
_Rate = Annotated[Rate | None, replace(RATE, secret=True)]


class _Row(Section):
    name: _Name = ""


class _TenantRow(_Row):
    upstream_token: Token = None
    rate_limit: _Rate = None

    def tenant(self, usual: Rate | None) -> Tenant:
        """The tenant in the row."""
        token = "" if self.upstream_token is None else self.upstream_token.get_secret_value()
        given = "rate_limit" in self.model_fields_set
        return Tenant(self.name, token, self.rate_limit if given else usual)


class _ClientRow(_Row):
    key_sha256: _Digests = ()
    tenant: _TenantName = ""
    rate_limit: _Rate = None


R = TypeVar("R", bound=_Row)


@dataclass(frozen=True, slots=True)
class ClientsGiven:
    """What the file says; equal to another exactly if nothing changed, token files included."""

    tenants: tuple[Tenant, ...]
    clients: tuple[Client, ...]


Look = ClientsGiven | SettingsFault


def read_clients(path: Path, usual: Rate | None) -> ClientsGiven:
    """Read the file; `usual` is the budget of a tenant without `rate_limit`.

    Raises SettingsFault with all that is wrong, each with its place in the file.
    """
    look = ClientsFile(path, usual).look()
    if isinstance(look, SettingsFault):
        raise look
    return look


class ClientsFile:
    """The file as it is read again and again, with those of the tenants' tokens.

    It is parsed only when something changed: that takes a process, which twice a second would be a
    good part of a core. All are read whole at every look, which needs nothing of the file system:
    so it works with the links that Kubernetes swaps, and on network drives.
    """

    def __init__(self, path: Path, usual: Rate | None) -> None:
        self._path = path
        self._usual = usual
        self._text: str | None = None
        self._secrets: list[tuple[object, str | Unreadable]] = []
        self._found: Look | None = None

    def look(self) -> Look:
        """What is there, or what is wrong with it; the same object while nothing changed."""
        try:
            text = read_text(self._path, _LARGEST, again=True)
        except Unreadable as why:
            tried = f", {self._path.absolute()}" if "cannot be read" in why.problem else ""
            self._found = None
            return _no_clients(f"{why.problem}{tried}")
        changed = any(self._read(path) != read for path, read in self._secrets)
        if self._found is None or text != self._text or changed:
            self._text = text
            self._found = self._parse(text)
        return self._found

    def _parse(self, text: str) -> Look:
        reading = _Reading(self._usual, self._read)
        self._secrets = reading.secrets
        try:
            if any(len(line) > _LONGEST_LINE for line in text.split("\n")):
                raise Unreadable("has a line that is too long")
            given = reading.of(parse_toml(text, _PATIENCE))
        except Unreadable as why:
            return _no_clients(why.problem)
        return SettingsFault(tuple(reading.faults)) if reading.faults else given

    def _read(self, path: object) -> str | Unreadable:
        try:
            return read_secret(path, self._path.parent, again=True)
        except Unreadable as why:
            return why


def _no_clients(problem: str) -> SettingsFault:
    wanted = "a readable TOML file of clients"
    return SettingsFault((Fault(_SETTING, f"names a file that {problem}", wanted),))


@dataclass(slots=True)
class _Reading:
    """One reading of the file's tables: what was met so far, and what was wrong with it."""

    usual: Rate | None
    read: Callable[[object], str | Unreadable]
    faults: list[Fault] = field(default_factory=list)
    secrets: list[tuple[object, str | Unreadable]] = field(default_factory=list)

    def of(self, tables: Table) -> ClientsGiven:
        """What is sound in the tables."""
        tenants = dict(self._rows(tables, "tenants", _TenantRow))
        clients = dict(self._rows(tables, "clients", _ClientRow))
        for name in tables.keys() - {"tenants", "clients"}:
            self._refuse(_shown(name), "is not known here", "[[tenants]] and [[clients]]")
        names = {row.name for row in tenants.values()}
        digests: set[str] = set()
        for place, row in clients.items():
            if row.tenant and row.tenant not in names:
                self._refuse(f"{place}.tenant", "is none of [[tenants]]", "the name of one of them")
            for digest in row.key_sha256:
                if digest in digests:
                    problem = "has a key that stands in the file already"
                    self._refuse(f"{place}.key_sha256", problem, "each key once")
                digests.add(digest)
        return ClientsGiven(
            tuple(tenant.tenant(self.usual) for tenant in tenants.values()),
            tuple(Client(c.name, c.key_sha256, c.tenant, c.rate_limit) for c in clients.values()),
        )

    def _refuse(self, place: str, problem: str, wanted: str) -> None:
        self.faults.append(Fault(f"{_SETTING}: {place}", problem, wanted))

    def _rows(self, tables: Table, kind: str, form: type[R]) -> Iterator[tuple[str, R]]:
        """What is sound in the tables of a kind, each with its place, which counts from 1."""
        rows = tables.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self._refuse(kind, "is not a list of tables", f"[[{kind}]]")
            return
        if not rows:
            # Half a file, as it is written, must not turn everybody away.
            self._refuse(kind, "is missing", f"at least one [[{kind}]]")
        names: set[str] = set()
        for at, row in enumerate(rows, start=1):
            place = f"{kind}[{at}]"
            sound = self._row(place, row, form)
            if sound.name in names:
                self._refuse(f"{place}.name", "is that of an earlier one", "each name once")
            names |= {sound.name} - {""}
            yield place, sound

    def _row(self, place: str, row: dict[str, object], form: type[R]) -> R:
        fields = form.model_fields
        known = {*fields, _TOKEN_FILE} if form is _TenantRow else {*fields}
        for name in sorted(row.keys() - known):
            self._refuse(f"{place}.{_shown(name)}", "is not known here", ", ".join(sorted(known)))
            del row[name]
        if form is _TenantRow:
            self._read_token(place, row)
        for name in [name for name in fields if name in _NEEDED and name not in row]:
            self._refuse(f"{place}.{name}", "is missing", kind_of(fields[name]).wanted)
        sound, faults = judge(form, row, f"{_SETTING}: {place}")
        self.faults += faults
        return sound

    def _read_token(self, place: str, row: dict[str, object]) -> None:
        """Put a tenant's token in the place of its file."""
        plain, path = "upstream_token" in row, row.pop(_TOKEN_FILE, None)
        if plain == (path is not None):
            problem = "has two upstream tokens" if plain else "has no upstream token"
            self._refuse(place, problem, f"upstream_token or {_TOKEN_FILE}")
        elif not plain:
            read = self.read(path)
            self.secrets.append((path, read))
            if isinstance(read, Unreadable):
                self._refuse(f"{place}.{_TOKEN_FILE}", read.problem, SECRET_FILE)
            else:
                row["upstream_token"] = read


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) and len(name) <= 24 else "a name"
