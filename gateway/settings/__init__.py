"""What an operator may set, and the only reader of the environment and of files.

Start with `schema.py`: every setting, its default and its effect. `load` turns a TOML file and
environment variables into one frozen `Settings`, or names every fault together. No other part of
the house reads the environment; nothing here decides what a setting means at run time.
"""

from __future__ import annotations

from gateway.settings.access_files import (
    ClientsGiven,
    Look,
    RereadFile,
    TokensGiven,
    clients_file,
    read_clients,
    tokens_file,
)
from gateway.settings.load import load, misspelt, opentelemetry
from gateway.settings.schema import AdminSettings, ServerSettings, Settings, changed, effective
from gateway.settings.types import (
    AccessMode,
    ClientDirectives,
    ColdStart,
    Fault,
    FreshnessSource,
    LogFormat,
    NoStore,
    Printable,
    RateScope,
    SettingsFault,
    SweepEnabled,
    SweepWarm,
    WritesMode,
)

__all__ = [
    "AccessMode",
    "AdminSettings",
    "ClientDirectives",
    "ClientsGiven",
    "ColdStart",
    "Fault",
    "FreshnessSource",
    "LogFormat",
    "Look",
    "NoStore",
    "Printable",
    "RateScope",
    "RereadFile",
    "ServerSettings",
    "Settings",
    "SettingsFault",
    "SweepEnabled",
    "SweepWarm",
    "TokensGiven",
    "WritesMode",
    "changed",
    "clients_file",
    "effective",
    "load",
    "misspelt",
    "opentelemetry",
    "read_clients",
    "tokens_file",
]
