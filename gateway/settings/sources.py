"""Where settings are given: the file, the environment over it, and the files of secrets.

What comes out is flat, "section.name" to whatever was written there, with the faults met on the
way. Whether a value is sound is judged by the schema, not here.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.settings.declared import DECLARED, SECRETS, SECTIONS, setting_of
from gateway.settings.faults import Fault
from gateway.settings.secret_files import Unreadable, read_secret, reason

PREFIX = "GATEWAY_"
FILE_VARIABLE = "GATEWAY_CONFIG"
_READABLE = "a readable TOML file"
_ADDRESSES = ("tcp://", "udp://", "sctp://")
_MEANT = {
    f"{PREFIX}{key.replace('.', '_')}".upper(): f"{PREFIX}{key.replace('.', '__')}".upper()
    for key in (*DECLARED, *(f"{key}_file" for key in SECRETS))
}


@dataclass(slots=True)
class Given:
    """What was given so far, and what was wrong with it."""

    values: dict[str, object] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    # False where a part could not be read: then nothing can be said to be missing.
    complete: bool = True

    def refuse(self, name: str, problem: str, wanted: str) -> None:
        """Note a fault; names come from outside and are kept on one line."""
        safe = name if name.isprintable() else json.dumps(name)
        self.faults.append(Fault(safe, problem, wanted))


def gather(config: Path | None, environ: Mapping[str, str]) -> Given:
    """All that the operator gave: the environment over the file, secrets read from their files.

    Relative paths in the file count from its folder, those in the environment from the current
    one.
    """
    given = Given()
    path = config or _named_file(environ)
    file = _from_file(path, given)
    environment = _from_environment(environ, given)
    for level in (file, environment):
        _refuse_twice_given(level, given)
    for key in SECRETS:
        if {key, f"{key}_file"} & environment.keys():
            file.pop(key, None)
            file.pop(f"{key}_file", None)
    given.values = {**file, **environment}
    for key in SECRETS:
        folder = path.parent if path is not None and f"{key}_file" in file else None
        _read_secret(key, folder, given)
    return given


def misspelt(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Variables that name a setting with one underscore for two, each with the name meant.

    They are no setting's: Kubernetes sets such for a service, to an address of it.
    """
    return tuple(
        (variable, meant)
        for variable, value in environ.items()
        if (meant := _MEANT.get(variable.upper())) and not value.startswith(_ADDRESSES)
    )


def _named_file(environ: Mapping[str, str]) -> Path | None:
    path = environ.get(FILE_VARIABLE)
    return Path(path) if path else None


def _from_file(path: Path | None, given: Given) -> dict[str, object]:
    values: dict[str, object] = {}
    for section, table in _tables(path, given).items():
        if section not in SECTIONS:
            given.refuse(section, "is no section", _choice(SECTIONS))
        elif not isinstance(table, dict):
            given.refuse(section, "is not a table", f"settings under [{section}]")
            given.complete = False
        else:
            values.update({f"{section}.{name}": value for name, value in table.items()})
    for key in [key for key in values if not _is_known(key)]:
        given.refuse(key, "is no setting", _choice(_names(key.partition(".")[0])))
        del values[key]
    if path is not None:
        values.update(_from_its_folder(values, path.parent))
    return values


def _from_its_folder(values: Mapping[str, object], folder: Path) -> dict[str, object]:
    """The paths among them; those of secrets are followed where they are read."""
    return {
        key: str(folder / value)
        for key, value in values.items()
        if key in DECLARED and DECLARED[key].kind.path and isinstance(value, str) and value
    }


def _tables(path: Path | None, given: Given) -> dict[str, object]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = f"is not TOML: {error}"
    except (OSError, ValueError) as error:
        problem = f"cannot be read: {reason(error)}"
    given.refuse(str(path.absolute()), problem, _READABLE)
    given.complete = False
    return {}


def _from_environment(environ: Mapping[str, str], given: Given) -> dict[str, object]:
    values: dict[str, object] = {}
    for variable, text in environ.items():
        key = _key_of(variable)
        if key is None:
            continue
        if not _is_known(key):
            section = key.partition(".")[0]
            given.refuse(variable, "is no setting", _choice(_names(section) or SECTIONS))
        elif key in values:
            given.refuse(variable, "is given twice, in another spelling", "one of them")
        else:
            values[key] = _from_text(key, text)
    return values


def _key_of(variable: str) -> str | None:
    name = variable.upper()
    section, separator, setting = name.removeprefix(PREFIX).partition("__")
    if not name.startswith(PREFIX) or not separator:
        return None
    return f"{section}.{setting}".lower()


def _from_text(key: str, text: str) -> object:
    if key not in DECLARED or not DECLARED[key].kind.json:
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text  # not JSON, so the schema refuses it and the message shows what was written
    return value


def _refuse_twice_given(level: dict[str, object], given: Given) -> None:
    for key in SECRETS:
        if key in level and f"{key}_file" in level:
            given.refuse(key, f"is given together with {key}_file", "one of them")
            del level[key], level[f"{key}_file"]


def _read_secret(key: str, folder: Path | None, given: Given) -> None:
    source = f"{key}_file"
    if source not in given.values:
        return
    try:
        given.values[key] = read_secret(source, given.values.pop(source), folder)
    except Unreadable as unreadable:
        given.faults.append(unreadable.fault)


def _is_known(key: str) -> bool:
    return key in DECLARED or setting_of(key) in SECRETS


def _names(section: str) -> list[str]:
    return [each.name for each in DECLARED.values() if each.section == section]


def _choice(names: Iterable[str]) -> str:
    return f"one of {', '.join(names)}"
