"""The tokens file: the operators that may give orders, and what each of them may do.

Read here and nowhere else. No message shows a token, a digest or a name that is not one: somebody
may have put a token in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from gateway.core.access.operators import RESERVED, Operator
from gateway.core.vocabulary import Right
from gateway.settings.faults import SettingsFault
from gateway.settings.kinds import Kind
from gateway.settings.reread import Read, RereadFile
from gateway.settings.rows import Digests, Row, Rows, Table

_SETTING = "admin.tokens_file"


def _rights(value: object) -> tuple[Right, ...]:
    if not isinstance(value, list) or not value or not {*Right}.issuperset(map(str, value)):
        raise ValueError
    return tuple(Right(each) for each in value)


_Rights = Annotated[
    tuple[Right, ...],
    Kind("a list of rights", f"a list of {', '.join(Right)}", _rights, secret=True),
]


class _TokenRow(Row):
    sha256: Digests = ()
    may: _Rights = ()
    needed = ("name", "sha256", "may")


@dataclass(frozen=True, slots=True)
class TokensGiven:
    """What the file says; equal to another exactly if nothing changed."""

    operators: tuple[Operator, ...]


def tokens_file(path: Path) -> RereadFile[TokensGiven]:
    """The file as it is read again and again."""
    return RereadFile(path, _parse, setting=_SETTING, wanted="tokens")


def _parse(tables: Table, _read: Read) -> TokensGiven:
    """What the tables say; raises SettingsFault with all that is wrong with them."""
    rows = Rows(_SETTING)
    tokens = dict(rows.of(tables, "tokens", _TokenRow))
    rows.refuse_unknown(tables, ("tokens",))
    for place, row in tokens.items():
        if row.name in RESERVED:
            wanted = f"another name than {', '.join(RESERVED)}"
            rows.refuse(f"{place}.name", "is reserved", wanted)
        rows.refuse_repeated(f"{place}.sha256", row.sha256)
    if rows.faults:
        raise SettingsFault(tuple(rows.faults))
    return TokensGiven(
        tuple(Operator(row.name, row.sha256, frozenset(row.may)) for row in tokens.values())
    )
