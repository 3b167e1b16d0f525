"""From what the operator gave to `Settings`, or to all its faults at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.settings.clients import read_clients
from gateway.settings.contradictions import contradictions
from gateway.settings.declared import DECLARED, setting_of
from gateway.settings.faults import Fault, SettingsFault, shown
from gateway.settings.schema import Settings
from gateway.settings.sources import gather, misspelt
from gateway.settings.words import AccessMode

# Of a number out of its bounds; for all else its parser has words, or its kind a noun.
_BOUNDS = {
    "greater_than": "is not above {gt:g}",
    "greater_than_equal": "is below {ge:g}",
    "less_than_equal": "is above {le:g}",
}
_PLACES = {key: place for place, key in enumerate(DECLARED)}


def load(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of this file (or the one in GATEWAY_CONFIG) and environment; SettingsFault."""
    given = gather(config, environ)
    settings, unsound = _judge(given.values)
    faults = [*given.faults, *unsound]
    if given.complete:
        faulty = {setting_of(fault.name) for fault in faults}
        faults += contradictions(settings, given.values, faulty)
        faults += _of_the_clients(settings, {fault.name for fault in faults})
    if faults:
        raise SettingsFault(tuple(sorted(faults, key=_place)))
    return settings


def load_from_process(config: Path | None) -> Settings:
    """The same with the environment of this process; SettingsFault."""
    return load(config, os.environ)


def misspelt_in_process() -> tuple[tuple[str, str], ...]:
    """Variables of this process that lack an underscore, each with the name meant."""
    return misspelt(os.environ)


def _of_the_clients(settings: Settings, faulty: Iterable[str]) -> tuple[Fault, ...]:
    """What is wrong with the clients file, where one is used and can be read at all."""
    access = settings.access
    path = access.clients_file if access.mode is AccessMode.CLIENTS else None
    if path is None or "access.clients_file" in faulty:
        return ()
    try:
        read_clients(path, settings.upstream.rate_limit)
    except SettingsFault as fault:
        return fault.faults
    return ()


def _judge(values: Mapping[str, object]) -> tuple[Settings, list[Fault]]:
    """The settings as far as they are sound, and the faults of the rest."""
    try:
        return Settings.model_validate(_tree(values)), []
    except ValidationError as error:
        details = {_key(each["loc"]): each for each in error.errors(include_url=False)}
    faults = [
        _fault(key, values[key], each["type"], each.get("ctx", {})) for key, each in details.items()
    ]
    sound = {key: value for key, value in values.items() if key not in details}
    return Settings.model_validate(_tree(sound)), faults


def _tree(values: Mapping[str, object]) -> dict[str, dict[str, object]]:
    tree: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name] = value
    return tree


def _key(location: Iterable[int | str]) -> str:
    section, name, *_ = location
    return f"{section}.{name}"


def _fault(key: str, value: object, error: str, context: Mapping[str, object]) -> Fault:
    kind = DECLARED[key].kind
    if error == "value_error" and (told := str(context["error"])):
        return Fault(key, told, kind.wanted)
    problem = _BOUNDS.get(error, f"is not {kind.noun}").format(**context)
    return Fault(key, problem if kind.secret else f"{shown(value)} {problem}", kind.wanted)


def _place(fault: Fault) -> int:
    return _PLACES.get(setting_of(fault.name), len(_PLACES))
