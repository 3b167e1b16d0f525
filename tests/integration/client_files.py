"""Clients files as an operator writes and replaces them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.access.caller import digest_of


@dataclass(slots=True)
class ClientsFile:
    """A clients file in the making: keys by client, tokens and rates by tenant."""

    path: Path
    tokens: dict[str, str]
    keys: dict[str, tuple[str, list[str]]]
    budgets: dict[str, str] = field(default_factory=dict)
    rates: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, str]:
        """What a gateway is started with that uses it."""
        return {"access__mode": "clients", "access__clients_file": str(self.path)}

    def write(self, *, faulty: bool = False) -> None:
        """Replace the file as a whole, as careful operators and Kubernetes do."""
        text = "".join([*map(self._tenant, self.tokens), *map(self._client, self.keys)])
        new = self.path.with_suffix(".new")
        new.write_text(text + ("colour = 1\n" if faulty else ""))
        os.replace(new, self.path)

    def _tenant(self, name: str) -> str:
        return _table("tenants", name, self.budgets) + f'upstream_token = "{self.tokens[name]}"\n'

    def _client(self, name: str) -> str:
        tenant, keys = self.keys[name]
        digests = ", ".join(f'"{digest_of(key)}"' for key in keys)
        table = _table("clients", name, self.rates)
        return f'{table}tenant = "{tenant}"\nkey_sha256 = [{digests}]\n'


def _table(kind: str, name: str, rates: Mapping[str, str]) -> str:
    rate = f'rate_limit = "{rates[name]}"\n' if name in rates else ""
    return f'[[{kind}]]\nname = "{name}"\n{rate}'


def two_tenants(folder: Path, names: Sequence[str] = ("acme", "globex")) -> ClientsFile:
    """One client a tenant, its key `gw_` and the tenant's name; written."""
    file = ClientsFile(
        folder / "clients.toml",
        {name: f"T-{name}" for name in names},
        {f"{name}-web": (name, [f"gw_{name}"]) for name in names},
    )
    file.write()
    return file


def bearer(key: str) -> dict[str, str]:
    """The header that presents a key."""
    return {"Authorization": f"Bearer {key}"}
