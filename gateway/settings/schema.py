"""Every setting, its type and its default; what it does is said in `config/gateway.toml`.

A new setting is one line here and one there, with its effect above it; `make chart` takes it to the
chart. Below stands the schema as a table, for the loader and for people.
"""

from __future__ import annotations

from pydantic import BaseModel

from gateway.core.budget.rates import Rate
from gateway.settings import kinds
from gateway.settings.section import Section


class ServerSettings(Section):
    """The data plane: where it listens and how it ends."""

    host: kinds.Host = "127.0.0.1"
    port: kinds.Port = 8080
    reuse_port: kinds.Switch = False
    drain_delay: kinds.Duration = 0.0
    drain_timeout: kinds.Duration = 30.0
    writes: kinds.WritesMode = kinds.WritesMode.DENY
    tls_cert: kinds.FilePath = None
    tls_key: kinds.FilePath = None
    max_body: kinds.Size = 1024**2


class AdminSettings(Section):
    """The admin plane: metrics, probes, status, explain, invalidate."""

    host: kinds.Host = "127.0.0.1"
    port: kinds.Port = 8081
    token: kinds.Token = None
    tokens_file: kinds.FilePath = None
    tls_cert: kinds.FilePath = None
    tls_key: kinds.FilePath = None
    docs_url: kinds.DocumentsUrl = None
    max_body: kinds.Size = 64 * 1024


class UpstreamSettings(Section):
    """The API we protect."""

    base_url: kinds.BaseUrl = "https://api.open.cx"
    token: kinds.Token = None
    rate_limit: kinds.RateLimit = Rate(100, 60.0)
    rate_scope: kinds.RateScope = kinds.RateScope.SHARED
    cold_start: kinds.ColdStart = kinds.ColdStart.PACED
    timeout: kinds.PositiveDuration = 10.0
    connect_timeout: kinds.PositiveDuration = 2.0
    max_body: kinds.Size = 1024**2
    max_list_body: kinds.Size = 16 * 1024**2
    max_background: kinds.Count = 4
    forward_headers: kinds.HeaderNames = ()


class AccessSettings(Section):
    """Who may ask."""

    mode: kinds.AccessMode = kinds.AccessMode.PASSTHROUGH
    clients_file: kinds.FilePath = None
    secret: kinds.SecretText = None


class FreshnessSettings(Section):
    """How long an answer may be used."""

    lifetime: kinds.PositiveDuration = 30.0
    stale_while_revalidate: kinds.Duration = 300.0
    stale_if_error: kinds.Duration = 86400.0
    soft_wait: kinds.Duration = 1.0
    negative_lifetime: kinds.Duration = 10.0
    believe_after: kinds.Duration = 60.0
    source: kinds.FreshnessSource = kinds.FreshnessSource.POLICY
    no_store: kinds.NoStore = kinds.NoStore.RESPECT
    client_directives: kinds.ClientDirectives = kinds.ClientDirectives.LIMITED


class L1Settings(Section):
    """The cache in the process."""

    max_bytes: kinds.Size = 64 * 1024**2
    lifetime: kinds.Duration = 5.0


class RedisSettings(Section):
    """The cache that replicas share."""

    url: kinds.RedisUrl = None
    prefix: kinds.Prefix = "gateway"
    timeout: kinds.PositiveDuration = 0.05


class SweepSettings(Section):
    """Confirming entries before anybody asks."""

    enabled: kinds.SweepEnabled = kinds.SweepEnabled.AUTO
    share: kinds.Share = 0.5
    interval: kinds.Interval = "auto"
    warm: kinds.SweepWarm = kinds.SweepWarm.BACKGROUND


class LogSettings(Section):
    """Log lines."""

    format: kinds.LogFormat | None = None
    level: kinds.LogLevel = kinds.LogLevel.INFO
    hits: kinds.Sample = 1_000


class TracingSettings(Section):
    """Spans of requests, for a collector."""

    endpoint: kinds.Endpoint = None


class LimitsSettings(Section):
    """What callers may ask of a connection, on both planes."""

    max_head: kinds.Size = 16 * 1024
    max_fields: kinds.Count = 100
    max_connections: kinds.Count = 10_000
    head_timeout: kinds.PositiveDuration = 10.0
    write_timeout: kinds.PositiveDuration = 30.0
    idle_timeout: kinds.PositiveDuration = 75.0


class Settings(BaseModel):
    """All settings; without arguments, their defaults."""

    model_config = Section.model_config

    server: ServerSettings = ServerSettings()
    admin: AdminSettings = AdminSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    access: AccessSettings = AccessSettings()
    freshness: FreshnessSettings = FreshnessSettings()
    l1: L1Settings = L1Settings()
    redis: RedisSettings = RedisSettings()
    sweep: SweepSettings = SweepSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    limits: LimitsSettings = LimitsSettings()


SECTIONS = {section: type(table) for section, table in Settings()}
KINDS = {
    f"{section}.{name}": kinds.kind_of(field)
    for section, table in SECTIONS.items()
    for name, field in table.model_fields.items()
}
SECRETS = tuple(name for name, kind in KINDS.items() if kind.secret)


def setting_of(name: str) -> str:
    """The setting that a name in the file is about: `upstream.token` for `upstream.token_file`."""
    return name if name in KINDS else name.removesuffix("_file")


def effective(settings: Settings) -> dict[str, kinds.Printable]:
    """Every setting by its full name, as the file would hold it; None is unset, secrets masked."""
    return {
        f"{section}.{name}": KINDS[f"{section}.{name}"].show(value)
        for section, table in settings
        for name, value in table
    }


def changed(settings: Settings) -> dict[str, kinds.Printable]:
    """Those of them that differ from their defaults."""
    defaults = effective(Settings())
    return {name: value for name, value in effective(settings).items() if value != defaults[name]}
