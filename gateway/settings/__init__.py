"""The settings that an operator may give, and how they are read.

`schema` has every setting with its type and default. `config/gateway.toml` explains the settings.
Only this package reads the gateway's environment variables, its settings file, and the files of
clients, tokens and secrets.
"""

from __future__ import annotations

from gateway.settings.access_files import (
    ClientsGiven,
    RereadFile,
    TokensGiven,
    clients_file,
    tokens_file,
)
from gateway.settings.load import load, load_admin, misspelt, opentelemetry
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
    "load_admin",
    "misspelt",
    "opentelemetry",
    "tokens_file",
]
