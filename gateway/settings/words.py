"""The closed sets of words that settings take, as they are written in the file."""

from __future__ import annotations

from enum import StrEnum


class WritesMode(StrEnum):
    """What happens to a caller's write."""

    DENY = "deny"
    FORWARD = "forward"


class RateScope(StrEnum):
    """Who shares one budget."""

    SHARED = "shared"
    CREDENTIAL = "credential"


class AccessMode(StrEnum):
    """Who may ask, and whose token goes upstream."""

    PASSTHROUGH = "passthrough"
    CLIENTS = "clients"
    OPEN = "open"


class FreshnessSource(StrEnum):
    """Whose word on freshness counts."""

    POLICY = "policy"
    ORIGIN = "origin"


class NoStore(StrEnum):
    """What an upstream `no-store` does under `policy`."""

    RESPECT = "respect"
    IGNORE = "ignore"


class ClientDirectives(StrEnum):
    """What a caller's `Cache-Control` does."""

    LIMITED = "limited"
    HONOUR = "honour"
    IGNORE = "ignore"


class SweepEnabled(StrEnum):
    """Whether entries are confirmed before anybody asks."""

    TRUE = "true"
    FALSE = "false"
    AUTO = "auto"


class SweepWarm(StrEnum):
    """When an empty cache is filled from the list."""

    BEFORE_READY = "before-ready"
    BACKGROUND = "background"
    OFF = "off"


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """From which weight on events are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
