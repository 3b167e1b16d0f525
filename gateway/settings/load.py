"""Makes `Settings` from the values that the operator gave, or reports all faults at once.

Values come from a file, from the environment (which replaces values of the file), and from files of
secrets.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from gateway.core.withdrawn_names import WITHDRAWN
from gateway.settings.access_files import clients_file, tokens_file
from gateway.settings.files import SECRET_FILE, Unreadable, read_secret, read_text
from gateway.settings.schema import (
    KINDS,
    SECRETS,
    SECTIONS,
    AdminSettings,
    Settings,
    contradictions,
    judge,
    setting_of,
)
from gateway.settings.types import AccessMode, Fault, SettingsFault

_PREFIX = "GATEWAY_"
_ADDRESSES = ("tcp://", "udp://", "sctp://")
_KNOWN = (*KINDS, *(f"{name}_file" for name in SECRETS))
_PLACES = {name: place for place, name in enumerate(KINDS)}


@dataclass(slots=True)
class _Given:
    """The values that were given so far, and their faults."""

    values: dict[str, object] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    # False if a part of the settings could not be read. Then no setting is reported as missing or
    # contradictory.
    complete: bool = True

    def refuse(self, name: str, problem: str, wanted: str) -> None:
        self.faults.append(Fault(name, problem, wanted))


def load(config: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from the file `config` (None: the file that GATEWAY_CONFIG names) and the
    environment. Raises SettingsFault."""
    given = _gather(config, environ)
    settings, unsound = _judge(given.values)
    faults = [*given.faults, *unsound]
    if given.complete:
        faulty = {setting_of(fault.name) for fault in faults}
        faults += contradictions(settings, given.values, faulty)
        faults += [*_of_the_clients(settings, faults), *_of_the_tokens(settings, faults)]
    if faults:
        faults.sort(key=lambda fault: _PLACES.get(setting_of(fault.name), len(_PLACES)))
        raise SettingsFault(tuple(faults))
    return settings


def load_admin(
    config: Path | None, environ: Mapping[str, str] = os.environ, *, is_here: bool = True
) -> tuple[AdminSettings, list[Fault]]:
    """The settings with which a command finds the admin plane of a running gateway, and their
    faults. A default replaces an invalid value.

    Faults of settings outside the section `admin` are left out, except if the settings file could
    not be read in full. The clients file and the tokens file are not read, because the gateway runs
    even if they have a fault now: it keeps their earlier content.

    `is_here` False: the gateway perhaps runs elsewhere, with other settings. Of the environment
    variables, only those for the admin token are used then.
    """
    if not is_here:
        tokens = (_variable("admin.token"), _variable("admin.token_file"))
        environ = {name: text for name, text in environ.items() if name.upper() in tokens}
    given = _gather(config, environ)
    settings, unsound = _judge(given.values)
    faults = [*given.faults, *unsound]
    if given.complete:
        faults = [each for each in faults if setting_of(each.name).startswith("admin.")]
    return settings.admin, faults


def misspelt(environ: Mapping[str, str] = os.environ) -> tuple[tuple[str, str], ...]:
    """Variables with one underscore where two are needed, and the variables that were probably
    meant.

    Kubernetes sets variables with values such as `tcp://…`: these are left out.
    """
    known = {_variable(name, "_"): _variable(name) for name in _KNOWN}
    return tuple(
        (variable, meant)
        for variable, value in environ.items()
        if (meant := known.get(variable.upper())) and not value.startswith(_ADDRESSES)
    )


def opentelemetry(environ: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """The environment variables of OpenTelemetry."""
    return {name: text for name, text in environ.items() if name.startswith("OTEL_")}


def _gather(config: Path | None, environ: Mapping[str, str]) -> _Given:
    given = _Given()
    named = environ.get("GATEWAY_CONFIG")
    path = config or (Path(named) if named else None)
    file = {} if path is None else _of_one_source(_in_file(path, given), path.parent, given)
    environment = _of_one_source(_in_environment(environ), None, given)
    for setting, (name, value, folder) in {**file, **environment}.items():
        try:
            given.values[setting] = value if name == setting else read_secret(value, folder)
        except Unreadable as why:
            given.refuse(name, why.problem, SECRET_FILE)
    return given


def _of_one_source(
    found: Iterable[tuple[str, str, object]], folder: Path | None, given: _Given
) -> dict[str, tuple[str, object, Path | None]]:
    """Each setting of one source: its full name (with `_file` for a secret in a file), its value,
    and the folder where relative paths start. Each element of `found` has the spelling in the
    source, the full name, and the value."""
    taken: dict[str, tuple[str, object, Path | None]] = {}
    twice = set()
    for written, name, value in found:
        setting = setting_of(name)
        if name not in _KNOWN:
            near = get_close_matches(name, _KNOWN, 1, 0.75)
            meant = _meant(near if written == name else map(_variable, near))
            problem = WITHDRAWN.get(name, f"is no setting{meant}")
            given.refuse(written, problem, _choice(name))
        elif setting not in taken:
            taken[setting] = name, value, folder
        elif taken[setting][0] == name:
            given.refuse(written, "is given twice, in two spellings", "one of them")
        else:
            given.refuse(setting, f"is given together with {setting}_file", "one of them")
            twice.add(setting)
    return {setting: each for setting, each in taken.items() if setting not in twice}


def _in_file(path: Path, given: _Given) -> Iterator[tuple[str, str, object]]:
    for section, table in _tables(path, given).items():
        if section not in SECTIONS:
            meant = _meant(get_close_matches(section, SECTIONS, 1))
            given.refuse(section, f"is no section{meant}", _choice(section))
        elif not isinstance(table, dict):
            given.refuse(section, "is not a table", f"settings under [{section}]")
            given.complete = False
        else:
            for name, value in table.items():
                key = f"{section}.{name}"
                is_path = key in KINDS and KINDS[key].path
                relative = is_path and isinstance(value, str) and value
                yield key, key, str(path.parent / value) if relative else value


def _tables(path: Path, given: _Given) -> dict[str, object]:
    try:
        return tomllib.loads(read_text(path))
    except Unreadable as why:
        problem = why.problem
    except (ValueError, RecursionError) as error:
        problem = f"is not TOML: {error}"
    given.refuse(str(path.absolute()), problem, "a readable TOML file")
    given.complete = False
    return {}


def _in_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, object]]:
    for variable, text in environ.items():
        section, separator, name = variable.upper().removeprefix(_PREFIX).partition("__")
        if variable.upper().startswith(_PREFIX) and separator:
            key = f"{section}.{name}".lower()
            yield variable, key, _from_text(key, text)


def _from_text(key: str, text: str) -> object:
    if key not in KINDS or not KINDS[key].json:
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text  # not JSON: the schema refuses it, and the message shows what was written
    return value


def _variable(name: str, between: str = "__") -> str:
    return f"{_PREFIX}{name.replace('.', between)}".upper()


def _meant(near: Iterable[str]) -> str:
    return "".join(f"; did you mean {each}?" for each in near)


def _choice(name: str) -> str:
    section, _, _ = name.partition(".")
    names = SECTIONS[section].model_fields if section in SECTIONS else SECTIONS
    return f"one of {', '.join(names)}"


def _judge(values: Mapping[str, object]) -> tuple[Settings, list[Fault]]:
    """The settings, with defaults in the place of invalid values, and the faults."""
    given: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
    for setting, value in values.items():
        section, _, name = setting.partition(".")
        given[section][name] = value
    judged = {section: judge(SECTIONS[section], given[section], section) for section in SECTIONS}
    settings = Settings.model_validate({section: sound for section, (sound, _) in judged.items()})
    return settings, [fault for _, faults in judged.values() for fault in faults]


def _of_the_clients(settings: Settings, faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """The faults in the clients file. Empty if it is not used, or its setting has a fault."""
    path = settings.access.clients_file if settings.access.mode is AccessMode.CLIENTS else None
    if path is None or any(fault.name == "access.clients_file" for fault in faults):
        return ()
    look = clients_file(path, settings.upstream.rate_limit).look()
    return look.faults if isinstance(look, SettingsFault) else ()


def _of_the_tokens(settings: Settings, faults: Iterable[Fault]) -> tuple[Fault, ...]:
    path = settings.admin.tokens_file
    if path is None or any(fault.name == "admin.tokens_file" for fault in faults):
        return ()
    look = tokens_file(path).look()
    return look.faults if isinstance(look, SettingsFault) else ()
