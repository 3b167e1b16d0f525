"""Every setting: its type, its default and its effect, and nothing else.

A new setting is one field here (a bound of connections: in `limits`); `config/gateway.toml` must
show it, and a test says so.
"""

from __future__ import annotations

from pydantic import Field

from gateway.core.rates import Rate
from gateway.settings.kinds import (
    BaseUrl,
    Count,
    Directives,
    Duration,
    Enabled,
    FilePath,
    Format,
    HeaderNames,
    Host,
    Interval,
    Level,
    Mode,
    NoStoreWord,
    Port,
    PositiveDuration,
    Prefix,
    RateLimit,
    RedisUrl,
    Sample,
    Scope,
    SecretText,
    Share,
    Size,
    Source,
    Switch,
    Token,
    Warm,
    Writes,
)
from gateway.settings.limits import LimitsSettings
from gateway.settings.section import Section
from gateway.settings.words import (
    AccessMode,
    ClientDirectives,
    FreshnessSource,
    LogLevel,
    NoStore,
    RateScope,
    SweepEnabled,
    SweepWarm,
    WritesMode,
)


class ServerSettings(Section):
    """The data plane: where it listens and how it ends."""

    host: Host = Field(default="127.0.0.1", description="where callers are served")
    port: Port = Field(
        default=8080, description="one process, one core: scale by processes; 0: any port"
    )
    reuse_port: Switch = Field(
        default=False, description="several processes share one port, each with its own admin port"
    )
    drain_delay: Duration = Field(
        default=0.0,
        description="after SIGTERM: readiness is 503 at once, then go on serving so long",
    )
    drain_timeout: Duration = Field(
        default=30.0, description="then finish what is in flight, at most so long"
    )
    writes: Writes = Field(
        default=WritesMode.DENY, description="forward: writes pass and invalidate"
    )
    tls_cert: FilePath = Field(default=None, description="the certificate chain (PEM), for TLS")
    tls_key: FilePath = Field(default=None, description="the private key (PEM) of tls_cert")
    max_body: Size = Field(default=1024**2, description="the largest body that a caller may send")


class AdminSettings(Section):
    """The admin plane: metrics, probes, status, explain, invalidate."""

    host: Host = Field(default="127.0.0.1", description="where operators are served")
    port: Port = Field(default=8081, description="0: any port")
    token: Token = Field(
        default=None,
        description="unset on loopback: everything is open, changes need Content-Type: "
        "application/json and a loopback Host; unset on another host: only metrics, probes and "
        "the page's empty shell; set: needed for all but those",
    )
    tls_cert: FilePath = Field(default=None, description="the certificate chain (PEM), for TLS")
    tls_key: FilePath = Field(default=None, description="the private key (PEM) of tls_cert")
    max_body: Size = Field(
        default=64 * 1024, description="the largest order, else 413; 256KiB holds any"
    )


class UpstreamSettings(Section):
    """The API we protect."""

    base_url: BaseUrl = Field(default="https://api.open.cx", description="the training API")
    token: Token = Field(
        default=None, description="the gateway's own upstream token, for access.mode open alone"
    )
    rate_limit: RateLimit = Field(
        default=Rate(100, 60.0),
        description="calls upstream in any such window; unlimited switches the budget off, not "
        "the gate after a 429",
    )
    rate_scope: Scope = Field(
        default=RateScope.SHARED,
        description="shared: one budget per tenant (passthrough and open are one tenant); "
        "credential: each its own",
    )
    timeout: PositiveDuration = Field(default=10.0, description="the whole call's deadline")
    connect_timeout: PositiveDuration = Field(default=2.0, description="of which to connect")
    max_body: Size = Field(default=1024**2, description="the largest training")
    max_list_body: Size = Field(default=16 * 1024**2, description="the largest page of the list")
    max_background: Count = Field(
        default=4, description="fetches that nobody waits for, under way at once"
    )
    forward_headers: HeaderNames = Field(
        default=(),
        description="further request headers passed upstream, by name; no part of the key",
    )


class AccessSettings(Section):
    """Who may ask."""

    mode: Mode = Field(
        default=AccessMode.PASSTHROUGH,
        description="passthrough: the caller's bearer token goes upstream and has its own "
        "partition; clients: callers present gateway keys, the gateway holds the upstream "
        "tokens; open: no caller check, the gateway's token, for a trusted network; unset: "
        "passthrough, and with an upstream.token the start asks for a choice",
    )
    clients_file: FilePath = Field(
        default=None, description="TOML with tenants and clients; read again when it changes"
    )
    secret: SecretText = Field(
        default=None, description="makes partition names an HMAC instead of a plain SHA-256"
    )


class FreshnessSettings(Section):
    """How long an answer may be used."""

    lifetime: PositiveDuration = Field(
        default=30.0, description="fresh so long, jittered downwards by at most a tenth"
    )
    stale_while_revalidate: Duration = Field(
        default=300.0, description="after that: served stale so long while it is refreshed behind"
    )
    stale_if_error: Duration = Field(
        default=86400.0, description="served stale so long when upstream fails"
    )
    soft_wait: Duration = Field(
        default=1.0,
        description="past stale_while_revalidate, within stale_if_error: wait so long for "
        "upstream, then serve stale",
    )
    negative_lifetime: Duration = Field(default=10.0, description="how long a 404 or 410 counts")
    believe_after: Duration = Field(
        default=60.0,
        description="a training whose updated_at went back, or is more than 5 minutes ahead, is "
        "believed once at least three answers, over at least so long, agreed",
    )
    source: Source = Field(
        default=FreshnessSource.POLICY,
        description="policy: the numbers above; origin: RFC 9111 by the upstream's headers, a "
        "tenth of the time since Last-Modified (a day at most), else the numbers above, where it "
        "says nothing",
    )
    no_store: NoStoreWord = Field(
        default=NoStore.RESPECT,
        description="an upstream no-store under policy; respect: not stored, and warned about "
        "once, since it ends the shield; ignore: stored all the same",
    )
    client_directives: Directives = Field(
        default=ClientDirectives.LIMITED,
        description="limited: a caller's no-cache, max-age and the like are honoured at most "
        "once in 10 s per entry and with at most a tenth of the budget; honour: always; ignore: "
        "never; only-if-cached always holds",
    )


class L1Settings(Section):
    """The cache in the process."""

    max_bytes: Size = Field(default=64 * 1024**2, description="bodies, headers, keys and overhead")
    lifetime: Duration = Field(
        default=5.0,
        description="how long an entry may go without confirming with Redis; while Redis is away "
        "the entry's own freshness decides",
    )


class RedisSettings(Section):
    """The cache that replicas share."""

    url: RedisUrl = Field(
        default=None,
        description="redis://, rediss://, unix://, redis+sentinel://host,host/name or "
        "redis+cluster://; ?ssl_ca_certs=/path/ca.pem for TLS; unset: one process, which holds "
        "everything itself",
    )
    prefix: Prefix = Field(default="gateway", description="the beginning of every key")
    timeout: PositiveDuration = Field(default=0.05, description="how long one answer may take")


class SweepSettings(Section):
    """Confirming entries before anybody asks."""

    enabled: Enabled = Field(
        default=SweepEnabled.AUTO,
        description="auto: on where the gateway holds the token, while somebody reads. Where there "
        "is no list, what is read is refreshed singly once it is stale; false: by its next reader",
    )
    share: Share = Field(default=0.5, description="the share of the budget that it may use")
    interval: Interval = Field(
        default="auto",
        description="auto: half of freshness.lifetime, or as fast as the share allows, whichever "
        "is slower",
    )
    warm: Warm = Field(
        default=SweepWarm.BACKGROUND,
        description="filling an empty cache at the start; before-ready: readiness waits for it, at "
        "most 30 s and not for an unreachable upstream",
    )


class LogSettings(Section):
    """Log lines."""

    format: Format = Field(default=None, description="unset: console on a terminal, else json")
    level: Level = Field(default=LogLevel.INFO, description="events below it are not logged")
    hits: Sample = Field(
        default=1_000,
        description="one in so many hits and refused requests is logged (0: none); level debug "
        "logs all",
    )


class Settings(Section):
    """All settings; without arguments, their defaults."""

    server: ServerSettings = ServerSettings()
    admin: AdminSettings = AdminSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    access: AccessSettings = AccessSettings()
    freshness: FreshnessSettings = FreshnessSettings()
    l1: L1Settings = L1Settings()
    redis: RedisSettings = RedisSettings()
    sweep: SweepSettings = SweepSettings()
    log: LogSettings = LogSettings()
    limits: LimitsSettings = LimitsSettings()
