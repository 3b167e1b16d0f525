"""The schema as a table: each setting by its full name, for the loader and the reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.settings.kinds import Kind
from gateway.settings.schema import Settings


@dataclass(frozen=True, slots=True)
class Declared:
    """One field of the schema, as the loader and the reports need it."""

    section: str
    name: str
    kind: Kind
    default: object
    effect: str

    @property
    def key(self) -> str:
        """Its full name, such as `server.port`."""
        return f"{self.section}.{self.name}"


def _declared() -> Iterator[Declared]:
    for section, table in Settings.model_fields.items():
        for name, field in type(table.default).model_fields.items():
            kind = next(mark for mark in field.metadata if isinstance(mark, Kind))
            yield Declared(section, name, kind, field.default, field.description or "")


SECTIONS = tuple(Settings.model_fields)
DECLARED = {declared.key: declared for declared in _declared()}
SECRETS = tuple(key for key, declared in DECLARED.items() if declared.kind.secret)


def setting_of(name: str) -> str:
    """The setting that a name in the file is about: `upstream.token` for `upstream.token_file`."""
    return name if name in DECLARED else name.removesuffix("_file")
