"""The rows of a TOML file of names and digests: read one by one, with all that is wrong with them.

What a row says is the business of `clients` and `tokens`. No message shows a key, a digest, a token
or a name that is not one: somebody may have put a key in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeVar

from gateway.core.access.clients import KEY_PREFIX
from gateway.settings.faults import Fault
from gateway.settings.kinds import Kind, kind_of
from gateway.settings.section import Section, judge

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
# A key or a digest in place of a name would stand in every log line.
_NAME = re.compile(rf"(?!{KEY_PREFIX}|{_DIGEST.pattern}$)[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
_LONGEST_SHOWN = 24

Table = Mapping[str, object]


def name_of(value: object) -> str:
    """A name that may stand in every log line and label; raises ValueError."""
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
Name = Annotated[
    str, Kind("a name", "1 to 64 characters from A-Z a-z 0-9 . _ -, no key", name_of, secret=True)
]
Digests = Annotated[
    tuple[str, ...],
    Kind(
        "a SHA-256",
        "the SHA-256 of a key in 64 hex digits, or a list of them; see gateway hash-key",
        _digests,
        secret=True,
    ),
]


class Row(Section):
    """One row, with a name that comes once in its table; `needed` are the fields without which it
    is none, `beside` the names that are read before it is judged."""

    name: Name = ""
    needed: ClassVar[tuple[str, ...]] = ("name",)
    beside: ClassVar[tuple[str, ...]] = ()


R = TypeVar("R", bound=Row)
Prepare = Callable[[str, dict[str, object]], None]


@dataclass(slots=True)
class Rows:
    """Reads the rows of the file that `setting` names, and gathers what is wrong with them."""

    setting: str
    faults: list[Fault] = field(default_factory=list)
    _digests: set[str] = field(default_factory=set)

    def refuse(self, place: str, problem: str, wanted: str) -> None:
        """Note a fault at a place in the file."""
        self.faults.append(Fault(f"{self.setting}: {place}", problem, wanted))

    def refuse_unknown(self, tables: Table, kinds: tuple[str, ...]) -> None:
        """The file has tables of these kinds, and nothing else."""
        for name in tables.keys() - set(kinds):
            wanted = " and ".join(f"[[{kind}]]" for kind in kinds)
            self.refuse(_shown(name), "is not known here", wanted)

    def refuse_repeated(self, place: str, digests: tuple[str, ...]) -> None:
        """No digest comes twice in the file."""
        for digest in digests:
            if digest in self._digests:
                self.refuse(place, "has a key that stands in the file already", "each key once")
            self._digests.add(digest)

    def of(
        self, tables: Table, kind: str, form: type[R], prepare: Prepare | None = None
    ) -> Iterator[tuple[str, R]]:
        """What is sound in the tables of a kind, each with its place, which counts from 1;
        `prepare` reads what stands beside the fields of a row, before it is judged."""
        rows = tables.get(kind, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.refuse(kind, "is not a list of tables", f"[[{kind}]]")
            return
        if not rows:
            # Half a file, as it is written, must not turn everybody away.
            self.refuse(kind, "is missing", f"at least one [[{kind}]]")
        names: set[str] = set()
        for at, row in enumerate(rows, start=1):
            place = f"{kind}[{at}]"
            self._refuse_unknown_fields(place, row, form)
            if prepare is not None:
                prepare(place, row)
            sound = self._row(place, row, form)
            if sound.name in names:
                self.refuse(f"{place}.name", "is that of an earlier one", "each name once")
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
    return name if _NAME.fullmatch(name) and len(name) <= _LONGEST_SHOWN else "a name"
