"""The clients file: the callers that may ask, with the upstream's token of each tenant.

Read here and nowhere else. No message shows a key, a digest, a token or a name that is not
one: somebody may have put a key in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from gateway.core.access.clients import Client, Tenant
from gateway.core.budget.rates import Rate
from gateway.settings.faults import SettingsFault
from gateway.settings.files import SECRET_FILE, Unreadable
from gateway.settings.kinds import RATE, Kind, Token
from gateway.settings.reread import Read, RereadFile
from gateway.settings.rows import Digests, Row, Rows, Table, name_of

_SETTING = "access.clients_file"
_TOKEN_FILE = "upstream_token_file"

_TenantName = Annotated[str, Kind("a name", "the name of one of [[tenants]]", name_of, secret=True)]
_Rate = Annotated[Rate | None, replace(RATE, secret=True)]


class _TenantRow(Row):
    upstream_token: Token = None
    rate_limit: _Rate = None
    beside = (_TOKEN_FILE,)

    def tenant(self, usual: Rate | None) -> Tenant:
        """The tenant in the row."""
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
    """What the file says; equal to another exactly if nothing changed, token files included."""

    tenants: tuple[Tenant, ...]
    clients: tuple[Client, ...]


Look = ClientsGiven | SettingsFault


def read_clients(path: Path, usual: Rate | None) -> ClientsGiven:
    """Read the file; `usual` is the budget of a tenant without `rate_limit`.

    Raises SettingsFault with all that is wrong, each with its place in the file.
    """
    return clients_file(path, usual).given()


def clients_file(path: Path, usual: Rate | None) -> RereadFile[ClientsGiven]:
    """The file as it is read again and again, with those of the tenants' tokens."""
    return RereadFile(path, partial(_parse, usual), setting=_SETTING, wanted="clients")


def _parse(usual: Rate | None, tables: Table, read: Read) -> ClientsGiven:
    """What the tables say; raises SettingsFault with all that is wrong with them."""
    rows = Rows(_SETTING)
    tenants = dict(rows.of(tables, "tenants", _TenantRow, partial(_read_token, rows, read)))
    clients = dict(rows.of(tables, "clients", _ClientRow))
    rows.refuse_unknown(tables, ("tenants", "clients"))
    names = {row.name for row in tenants.values()}
    for place, row in clients.items():
        if row.tenant and row.tenant not in names:
            rows.refuse(f"{place}.tenant", "is none of [[tenants]]", "the name of one of them")
        rows.refuse_repeated(f"{place}.key_sha256", row.key_sha256)
    if rows.faults:
        raise SettingsFault(tuple(rows.faults))
    return ClientsGiven(
        tuple(tenant.tenant(usual) for tenant in tenants.values()),
        tuple(Client(c.name, c.key_sha256, c.tenant, c.rate_limit) for c in clients.values()),
    )


def _read_token(rows: Rows, read: Read, place: str, row: dict[str, object]) -> None:
    """Put a tenant's token in the place of its file."""
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
