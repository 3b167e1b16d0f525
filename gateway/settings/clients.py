"""The clients file: who may ask, with the upstream's token of each tenant.

Read here and nowhere else. No message shows a key, a digest, a token or a name that is not
one: somebody may have put a key in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway.core.clients import KEY_PREFIX, Client, Tenant
from gateway.core.rates import Rate
from gateway.settings.faults import Fault, SettingsFault
from gateway.settings.secret_files import Unreadable, read_secret, reason
from gateway.settings.texts import parse_token
from gateway.settings.toml_process import TomlFailed, TomlRefused, parse_toml
from gateway.settings.values import parse_rate

_SETTING = "access.clients_file"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_PLACE = re.compile(r"\(at [a-z0-9 ,]+\)")
# Characters: some 6,000 clients.
_LARGEST = 1024 * 1024
_LONGEST_LINE = 16 * 1024
# Seconds; a file of the largest size takes a fifth of one, where the machine is at rest.
_PATIENCE = 10.0
_TENANT = frozenset({"name", "upstream_token", "upstream_token_file", "rate_limit"})
_CLIENT = frozenset({"name", "key_sha256", "tenant", "rate_limit"})
_A_NAME = "1 to 64 characters from A-Z a-z 0-9 . _ -, no key"
_A_RATE = '"100/minute", "5/second", "10/6s" or "unlimited"'
_A_TOKEN = "upstream_token or upstream_token_file"
_DIGESTS = "the SHA-256 of a key in 64 hex digits, or a list of them; see gateway hash-key"

Table = Mapping[str, object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClientsGiven:
    """What the file says; equal to another exactly if nothing changed, token files included."""

    tenants: tuple[Tenant, ...]
    clients: tuple[Client, ...]


def read_clients(path: Path, usual: Rate | None) -> ClientsGiven:
    """Read the file; `usual` is the budget of a tenant without `rate_limit`.

    Raises SettingsFault with all that is wrong, each with its place in the file.
    """
    return parse_clients(text_of(path), usual, partial(read_secret, folder=path.parent))


def parse_clients(
    text: str, usual: Rate | None, secret_of: Callable[[str, object], str]
) -> ClientsGiven:
    """Take the file's text for what it says; `secret_of` reads as `read_secret` does.

    Raises SettingsFault as `read_clients` does.
    """
    tables = _tables(text)
    reading = _Reading(usual, secret_of)
    tenants = [reading.tenant(place, table) for place, table in reading.rows(tables, "tenants")]
    clients = [reading.client(place, table) for place, table in reading.rows(tables, "clients")]
    for name in tables.keys() - {"tenants", "clients"}:
        reading.refuse(_shown(name), "is not known here", "[[tenants]] and [[clients]]")
    reading.refuse_strangers()
    if reading.faults:
        raise SettingsFault(tuple(reading.faults))
    return ClientsGiven(_all(tenants), _all(clients))


def text_of(path: Path) -> str:
    """What stands in the file; raises SettingsFault where it cannot be read."""
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait for its writer
            raise _no_clients("names no file")
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
        if len(text) <= _LARGEST:
            return text
        problem = "names a file that is too large"
    except UnicodeDecodeError:
        problem = "names a file that is not UTF-8"
    except (OSError, ValueError) as error:
        problem = f"names a file that cannot be read: {reason(error)}, {path.absolute()}"
    raise _no_clients(problem)


def _tables(text: str) -> Table:
    if any(len(line) > _LONGEST_LINE for line in text.split("\n")):
        raise _no_clients("names a file with a line that is too long")
    try:
        return parse_toml(text, _PATIENCE)
    except TomlRefused as error:
        # Its message may quote what stands there.
        place = _PLACE.search(str(error))
        problem = f"names a file that is not TOML {place[0] if place else ''}".rstrip()
    except TomlFailed as error:
        problem = f"names a file that {error}"
    raise _no_clients(problem)


def _no_clients(problem: str) -> SettingsFault:
    return SettingsFault((Fault(_SETTING, problem, "a readable TOML file of clients"),))


@dataclass(slots=True)
class _Reading:
    """One reading of the file: what was met so far, and what was wrong with it."""

    usual: Rate | None
    secret_of: Callable[[str, object], str]
    faults: list[Fault] = field(default_factory=list)
    names: dict[str, set[str]] = field(default_factory=lambda: {"tenants": set(), "clients": set()})
    wanted: list[tuple[str, str]] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)

    def refuse(self, place: str, problem: str, wanted: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(f"{_SETTING}: {place}", problem, wanted))

    def rows(self, tables: Table, kind: str) -> Iterator[tuple[str, Table]]:
        """The tables of a kind, each with its place, which counts from 1."""
        rows = tables.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.refuse(kind, "is not a list of tables", f"[[{kind}]]")
        elif not rows:
            # Half a file, as it is written, must not turn everybody away.
            self.refuse(kind, "is missing", f"at least one [[{kind}]]")
        else:
            yield from ((f"{kind}[{at}]", row) for at, row in enumerate(rows, start=1))

    def tenant(self, place: str, table: Table) -> Tenant | None:
        """The tenant in a table, None where it is faulty."""
        self._refuse_unknown(place, table, _TENANT)
        name = self._name(place, table, "tenants")
        token = self._token(place, table)
        rate = self._rate(place, table, self.usual)
        return None if name is None or token is None else Tenant(name, token, rate)

    def client(self, place: str, table: Table) -> Client | None:
        """The client in a table, None where it is faulty; its tenant may yet be a stranger."""
        self._refuse_unknown(place, table, _CLIENT)
        name = self._name(place, table, "clients")
        digests = self._digests(f"{place}.key_sha256", table.get("key_sha256"))
        tenant = table.get("tenant")
        if not isinstance(tenant, str):
            self.refuse(f"{place}.tenant", "is no name", "the name of one of [[tenants]]")
            return None
        self.wanted.append((f"{place}.tenant", tenant))
        rate = self._rate(place, table, None)
        return None if name is None else Client(name, digests, tenant, rate)

    def refuse_strangers(self) -> None:
        """Whoever belongs to a tenant that there is none of."""
        for place, tenant in self.wanted:
            if tenant not in self.names["tenants"]:
                self.refuse(place, "is none of [[tenants]]", "the name of one of them")

    def _refuse_unknown(self, place: str, table: Table, known: frozenset[str]) -> None:
        for name in sorted(table.keys() - known):
            self.refuse(f"{place}.{_shown(name)}", "is not known here", ", ".join(sorted(known)))

    def _name(self, place: str, table: Table, kind: str) -> str | None:
        name = table.get("name")
        if not isinstance(name, str) or not _is_name(name):
            self.refuse(f"{place}.name", "is missing or no name", _A_NAME)
            return None
        if name in self.names[kind]:
            self.refuse(f"{place}.name", "is that of an earlier one", "each name once")
        self.names[kind].add(name)
        return name

    def _token(self, place: str, table: Table) -> str | None:
        token, path = table.get("upstream_token"), table.get("upstream_token_file")
        if (token is None) == (path is None):
            problem = "has no upstream token" if token is None else "has two upstream tokens"
            self.refuse(place, problem, _A_TOKEN)
            return None
        where = f"{place}.upstream_token" if path is None else f"{place}.upstream_token_file"
        try:
            text = token if path is None else self.secret_of(where, path)
        except Unreadable as unreadable:
            self.refuse(where, unreadable.fault.problem, unreadable.fault.wanted)
            return None
        wanted = "visible ASCII characters without spaces"
        secret = self._parsed(where, text, parse_token, wanted)
        return None if secret is None else secret.reveal()

    def _digests(self, place: str, given: object) -> tuple[str, ...]:
        several = given if isinstance(given, list) else [given]
        digests = [each.lower() for each in several if isinstance(each, str) and _is_digest(each)]
        if not digests or len(digests) < len(several):
            self.refuse(place, "is missing or no SHA-256", _DIGESTS)
        for digest in digests:
            if digest in self.digests:
                self.refuse(place, "has a key that stands in the file already", "each key once")
            self.digests.add(digest)
        return tuple(digests)

    def _rate(self, place: str, table: Table, usual: Rate | None) -> Rate | None:
        if "rate_limit" not in table:
            return usual
        return self._parsed(f"{place}.rate_limit", table["rate_limit"], parse_rate, _A_RATE)

    def _parsed(
        self, place: str, value: object, parse: Callable[[object], T], wanted: str
    ) -> T | None:
        try:
            return parse(value)
        except ValueError:
            self.refuse(place, "is not one", wanted)
            return None


def _all(rows: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(row for row in rows if row is not None)


def _is_name(text: str) -> bool:
    # A key or a digest in place of a name would stand in every log line.
    return (
        _NAME.fullmatch(text) is not None
        and not text.startswith(KEY_PREFIX)
        and not _is_digest(text)
    )


def _is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def _shown(name: str) -> str:
    return name if _is_name(name) and len(name) <= 24 else "a name"
