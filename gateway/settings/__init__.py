"""What an operator may set, and the only reader of the environment and of files.

Start with `schema.py`: every setting, its default and its effect. `load` turns a TOML file and
environment variables into one frozen `Settings`, or names every fault together. No other part of
the house reads the environment; nothing here decides what a setting means at run time.
"""

from __future__ import annotations

from gateway.core.rates import Rate
from gateway.settings.clients import ClientsGiven, read_clients
from gateway.settings.clients_file import ClientsFile, Look
from gateway.settings.faults import Fault, SettingsFault
from gateway.settings.kinds import Printable
from gateway.settings.limits import LimitsSettings
from gateway.settings.load import load, load_from_process, misspelt_in_process
from gateway.settings.report import SettingInfo, changed, describe, effective
from gateway.settings.schema import (
    AccessSettings,
    AdminSettings,
    FreshnessSettings,
    L1Settings,
    LogSettings,
    RedisSettings,
    ServerSettings,
    Settings,
    SweepSettings,
    UpstreamSettings,
)
from gateway.settings.values import Secret
from gateway.settings.words import (
    AccessMode,
    ClientDirectives,
    FreshnessSource,
    LogFormat,
    LogLevel,
    NoStore,
    RateScope,
    SweepEnabled,
    SweepWarm,
    WritesMode,
)

__all__ = [
    "AccessMode",
    "AccessSettings",
    "AdminSettings",
    "ClientDirectives",
    "ClientsFile",
    "ClientsGiven",
    "Fault",
    "FreshnessSettings",
    "FreshnessSource",
    "L1Settings",
    "LimitsSettings",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "Look",
    "NoStore",
    "Printable",
    "Rate",
    "RateScope",
    "RedisSettings",
    "Secret",
    "ServerSettings",
    "SettingInfo",
    "Settings",
    "SettingsFault",
    "SweepEnabled",
    "SweepSettings",
    "SweepWarm",
    "UpstreamSettings",
    "WritesMode",
    "changed",
    "describe",
    "effective",
    "load",
    "load_from_process",
    "misspelt_in_process",
    "read_clients",
]
