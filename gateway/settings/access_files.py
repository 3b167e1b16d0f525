"""The clients file (callers, and the token of each tenant) and the tokens file (operators).

Both are read again while the gateway runs. No message shows a key, a digest, a token, or an invalid
name: an operator has perhaps written a key in the place of a name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Generic, TypeVar

from gateway.core.access.caller import KEY_PREFIX, Client, Tenant
from gateway.core.access.operators import RESERVED, Operator
from gateway.core.budget.window_log import Rate
from gateway.core.vocabulary import Right
from gateway.settings.files import SECRET_FILE, Unreadable, read_secret, read_text
from gateway.settings.schema import Section, judge
from gateway.settings.types import RATE, Fault, Kind, SettingsFault, Token, kind_of

# Both limits are in characters. A file of `_LARGEST` characters can list about 1,500 clients.
# `tomllib` takes seconds for one long line (a dotted key with many parts).
_LARGEST = 256 * 1024
_LONGEST_LINE = 4 * 1024

G = TypeVar("G")
Secret = str | Unreadable
# Reads a secret from a file that the TOML tables name.
Read = Callable[[object], Secret]
# Makes the content of a file from its tables. Raises SettingsFault.
Parse = Callable[[Mapping[str, object], Read], G]


# What changes if a file changes or is replaced, also by a link to another file. None: there is no
# file, or it could not be read, so it is read again at the next look.
Stamp = tuple[int, ...] | None


class RereadFile(Generic[G]):
    """The file that `setting` names, and the files of secrets that this file names.

    `look` reads and parses them only if the stat of one of them has changed, or if one of them
    could not be read. In messages, `wanted` is the word for the rows of the file. `found` is the
    result of the last look.
    """

    def __init__(self, path: Path, parse: Parse[G], *, setting: str, wanted: str) -> None:
        self._path = path
        self._parse = parse
        self._setting = setting
        self._wanted = wanted
        self._stamps: dict[Path, Stamp] = {}
        self.found: G | SettingsFault | None = None

    def look(self) -> G | SettingsFault:
        """The content of the file, or its faults."""
        if self.found is None or any(map(self._has_changed, self._stamps)):
            self._stamps = {}
            self.found = self._read()
        return self.found

    def given(self) -> G:
        """The content of the file. Raises SettingsFault."""
        look = self.look()
        if isinstance(look, SettingsFault):
            raise look
        return look

    def faulty(self, problem: str) -> SettingsFault:
        """A fault of the whole file. `problem` continues "names a file that …"."""
        wanted = f"a readable TOML file of {self._wanted}"
        return SettingsFault((Fault(self._setting, f"names a file that {problem}", wanted),))

    def _has_changed(self, path: Path) -> bool:
        known = self._stamps[path]
        return known is None or known != _stamp_of(path)

    def _read(self) -> G | SettingsFault:
        self._stamps[self._path] = _stamp_of(self._path)
        try:
            return self._parse(
                parse_toml(read_text(self._path, _LARGEST, again=True)), self._secret
            )
        except Unreadable as why:
            tried = ""
            if "cannot be read" in why.problem:
                self._stamps[self._path] = None
                tried = f", {self._path.absolute()}"
            return self.faulty(f"{why.problem}{tried}")
        except SettingsFault as fault:
            return fault

    def _secret(self, path: object) -> Secret:
        place = self._path.parent / str(path)
        stamp = _stamp_of(place)
        try:
            secret: Secret = read_secret(path, self._path.parent, again=True)
        except Unreadable as why:
            secret, stamp = why, None
        self._stamps[place] = stamp
        return secret


def _stamp_of(path: Path) -> Stamp:
    try:
        is_now = path.stat()
    except (OSError, ValueError):
        return None
    times = is_now.st_mtime_ns, is_now.st_ctime_ns
    return is_now.st_dev, is_now.st_ino, is_now.st_size, *times


_PLACE = re.compile(r" \(at [a-z0-9 ,]+\)")


def parse_toml(text: str) -> Mapping[str, object]:
    """The tables of the text. Raises Unreadable. Its message has no subject ("is not TOML"), and
    quotes nothing of the text."""
    if any(len(line) > _LONGEST_LINE for line in text.split("\n")):
        raise Unreadable(f"has a line of more than {_LONGEST_LINE:,} characters")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise Unreadable("is nested too deeply") from None
    except ValueError as error:
        place = _PLACE.search(str(error))
        raise Unreadable(f"is not TOML{place[0] if place else ''}") from None


_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
# Names are shown in log lines, so no name may look like a key or a digest.
_NAME = re.compile(rf"(?!{KEY_PREFIX}|{_DIGEST.pattern}$)[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
_LONGEST_SHOWN = 24

Table = Mapping[str, object]


def name_of(value: object) -> str:
    """A name for log lines and labels. Raises ValueError."""
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


# These kinds are secret, so no message shows the text that was written.
Name = Annotated[
    str,
    Kind(
        "a name",
        "1 to 64 characters from A-Z a-z 0-9 . _ -, the first a letter or a digit; a name must not "
        f"begin with {KEY_PREFIX} or be a SHA-256",
        name_of,
        secret=True,
    ),
]
Digests = Annotated[
    tuple[str, ...],
    Kind(
        "a SHA-256",
        "the SHA-256 of a client's key or of an operator's token in 64 hex digits, or a list of "
        "such texts; see gateway hash-key",
        _digests,
        secret=True,
    ),
]


class Row(Section):
    """One row of the file. No other row of the same kind (for example `clients`) has its name.

    needed  the fields that a row must have
    beside  further fields, which are taken out before the row is judged
    """

    name: Name = ""
    needed: ClassVar[tuple[str, ...]] = ("name",)
    beside: ClassVar[tuple[str, ...]] = ()


R = TypeVar("R", bound=Row)
Prepare = Callable[[str, dict[str, object]], None]


@dataclass(slots=True)
class Rows:
    """Reads the rows of the file that `setting` names, and gathers their faults."""

    setting: str
    faults: list[Fault] = field(default_factory=list)
    _digests: set[str] = field(default_factory=set)

    def refuse(self, place: str, problem: str, wanted: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(f"{self.setting}: {place}", problem, wanted))

    def refuse_unknown(self, tables: Table, kinds: tuple[str, ...]) -> None:
        """Note a fault for each name at the top of the file that is not in `kinds`."""
        for name in tables.keys() - set(kinds):
            wanted = " and ".join(f"[[{kind}]]" for kind in kinds)
            self.refuse(_shown(name), "is not known here", wanted)

    def refuse_repeated(self, place: str, digests: tuple[str, ...]) -> None:
        """Note a fault for each digest that already occurs earlier in the file."""
        for digest in digests:
            if digest in self._digests:
                problem = "has a SHA-256 that occurs earlier in the file"
                self.refuse(place, problem, "each SHA-256 once")
            self._digests.add(digest)

    def of(
        self, tables: Table, kind: str, form: type[R], prepare: Prepare | None = None
    ) -> Iterator[tuple[str, R]]:
        """The rows of one kind, each with its place in the file (`clients[1]` is the first) and its
        valid fields. `prepare` reads the fields that `beside` names."""
        rows = tables.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.refuse(kind, "is not a list of tables", f"[[{kind}]]")
            return
        if not rows:
            # Without this fault, a half-written file could cause all requests to be refused.
            self.refuse(kind, "is missing", f"at least one [[{kind}]]")
        names: set[str] = set()
        for at, row in enumerate(rows, start=1):
            place = f"{kind}[{at}]"
            self._refuse_unknown_fields(place, row, form)
            if prepare is not None:
                prepare(place, row)
            sound = self._row(place, row, form)
            if sound.name in names:
                problem = f"is also the name of an earlier [[{kind}]] table"
                self.refuse(f"{place}.name", problem, "each name once")
            names |= {sound.name} - {""}
            yield place, sound

    def _refuse_unknown_fields(self, place: str, row: dict[str, object], form: type[Row]) -> None:
        known = {*form.model_fields, *form.beside}
        for name in sorted(row.keys() - known):
            self.refuse(f"{place}.{_shown(name)}", "is not known here", ", ".join(sorted(known)))
            del row[name]

    def _row(self, place: str, row: dict[str, object], form: type[R]) -> R:
        fields = form.model_fields
        for name in [name for name in fields if name in form.needed and name not in row]:
            self.refuse(f"{place}.{name}", "is missing", kind_of(fields[name]).wanted)
        sound, faults = judge(form, row, f"{self.setting}: {place}")
        self.faults += faults
        return sound


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) and len(name) <= _LONGEST_SHOWN else "***"


_CLIENTS_FILE = "access.clients_file"
_TOKEN_FILE = "upstream_token_file"

_TenantName = Annotated[str, Kind("a name", "the name of one of [[tenants]]", name_of, secret=True)]
_Rate = Annotated[Rate | None, replace(RATE, secret=True)]


class _TenantRow(Row):
    upstream_token: Token = None
    rate_limit: _Rate = None
    beside = (_TOKEN_FILE,)

    def tenant(self, usual: Rate | None) -> Tenant:
        """`usual` is the rate of a tenant without `rate_limit`."""
        token = "" if self.upstream_token is None else self.upstream_token.get_secret_value()
        given = "rate_limit" in self.model_fields_set
        return Tenant(self.name, token, self.rate_limit if given else usual)


class _ClientRow(Row):
    key_sha256: Digests = ()
    tenant: _TenantName = ""
    rate_limit: _Rate = None
    needed = ("name", "key_sha256", "tenant")


@dataclass(frozen=True, slots=True)
class ClientsGiven:
    """The content of the clients file. Contents with different upstream tokens are not equal, so a
    new token counts as a change."""

    tenants: tuple[Tenant, ...]
    clients: tuple[Client, ...]


def clients_file(path: Path, usual: Rate | None) -> RereadFile[ClientsGiven]:
    """The clients file, and the files of upstream tokens that it names. `usual` is the rate of a
    tenant without `rate_limit`."""
    return RereadFile(path, partial(_parse_clients, usual), setting=_CLIENTS_FILE, wanted="clients")


def _parse_clients(usual: Rate | None, tables: Table, read: Read) -> ClientsGiven:
    rows = Rows(_CLIENTS_FILE)
    tenants = dict(rows.of(tables, "tenants", _TenantRow, partial(_read_token, rows, read)))
    clients = dict(rows.of(tables, "clients", _ClientRow))
    rows.refuse_unknown(tables, ("tenants", "clients"))
    names = {row.name for row in tenants.values()}
    for place, row in clients.items():
        if row.tenant and row.tenant not in names:
            problem = "is not the name of a tenant in this file"
            rows.refuse(f"{place}.tenant", problem, "the name of one of [[tenants]]")
        rows.refuse_repeated(f"{place}.key_sha256", row.key_sha256)
    if rows.faults:
        raise SettingsFault(tuple(rows.faults))
    return ClientsGiven(
        tuple(tenant.tenant(usual) for tenant in tenants.values()),
        tuple(Client(c.name, c.key_sha256, c.tenant, c.rate_limit) for c in clients.values()),
    )


def _read_token(rows: Rows, read: Read, place: str, row: dict[str, object]) -> None:
    """Replace the path of a tenant's token by the token."""
    plain, path = "upstream_token" in row, row.pop(_TOKEN_FILE, None)
    if plain == (path is not None):
        problem = "has two upstream tokens" if plain else "has no upstream token"
        rows.refuse(place, problem, f"upstream_token or {_TOKEN_FILE}")
    elif not plain:
        secret = read(path)
        if isinstance(secret, Unreadable):
            rows.refuse(f"{place}.{_TOKEN_FILE}", secret.problem, SECRET_FILE)
        else:
            row["upstream_token"] = secret


_TOKENS_FILE = "admin.tokens_file"


def _rights(value: object) -> tuple[Right, ...]:
    if not isinstance(value, list) or not value or not {*Right}.issuperset(map(str, value)):
        raise ValueError
    return tuple(Right(each) for each in value)


_Rights = Annotated[
    tuple[Right, ...],
    Kind("a list of rights", f"a list of one or more of {', '.join(Right)}", _rights, secret=True),
]


class _TokenRow(Row):
    sha256: Digests = ()
    may: _Rights = ()
    needed = ("name", "sha256", "may")


@dataclass(frozen=True, slots=True)
class TokensGiven:
    """The content of the tokens file."""

    operators: tuple[Operator, ...]


def tokens_file(path: Path) -> RereadFile[TokensGiven]:
    """The tokens file."""
    return RereadFile(path, _parse_tokens, setting=_TOKENS_FILE, wanted="tokens")


def _parse_tokens(tables: Table, _read: Read) -> TokensGiven:
    rows = Rows(_TOKENS_FILE)
    tokens = dict(rows.of(tables, "tokens", _TokenRow))
    rows.refuse_unknown(tables, ("tokens",))
    for place, row in tokens.items():
        if row.name in RESERVED:
            wanted = f"a name other than {', '.join(RESERVED)}"
            rows.refuse(f"{place}.name", "is reserved", wanted)
        rows.refuse_repeated(f"{place}.sha256", row.sha256)
    if rows.faults:
        raise SettingsFault(tuple(rows.faults))
    return TokensGiven(
        tuple(Operator(row.name, row.sha256, frozenset(row.may)) for row in tokens.values())
    )
