"""Every setting with its type and default, and the check for settings that contradict each other.

`config/gateway.toml` says what each setting does. A new setting needs a line here, and a line with
a comment in that file. `make chart` copies the settings into the Helm chart.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from gateway.core.budget.window_log import Rate
from gateway.core.redis_url import read_address
from gateway.core.sweep.belief import SweepStore
from gateway.core.withdrawn_names import WITHDRAWN
from gateway.settings import types
from gateway.settings.files import is_readable, unusable, unusable_authorities
from gateway.settings.types import Fault, kind_of

_LONGEST_SHOWN = 60


class Section(BaseModel):
    """An immutable section of settings, which refuses unknown names. The `Kind` of each field
    parses its value; pydantic converts no types."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _parse(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields[info.field_name or ""]
        return value if value is None else kind_of(field).parse(value)


class ServerSettings(Section):
    """The data plane: where it listens, how it ends, and what callers may send."""

    host: types.Host = "127.0.0.1"
    port: types.Port = 8080
    reuse_port: types.Switch = False
    drain_delay: types.Duration = 0.0
    drain_timeout: types.Duration = 30.0
    writes: types.WritesMode = types.WritesMode.DENY
    tls_cert: types.FilePath = None
    tls_key: types.FilePath = None


class AdminSettings(Section):
    """The admin plane: where it listens, and which tokens it accepts."""

    host: types.Host = "127.0.0.1"
    port: types.Port = 8081
    token: types.Token = None
    tokens_file: types.FilePath = None
    tls_cert: types.FilePath = None
    tls_key: types.FilePath = None
    docs_url: types.DocumentsUrl = None


class UpstreamSettings(Section):
    """The API that the gateway protects, and the calls to it."""

    base_url: types.BaseUrl = "https://api.open.cx"
    ca_certs: types.FilePath = None
    token: types.Token = None
    rate_limit: types.RateLimit = Rate(100, 60.0)
    rate_scope: types.RateScope = types.RateScope.SHARED
    cold_start: types.ColdStart = types.ColdStart.PACED
    timeout: types.PositiveDuration = 10.0
    connect_timeout: types.PositiveDuration = 2.0
    max_body: types.Size = 1024**2
    max_list_body: types.Size = 16 * 1024**2
    max_background: types.Count = 8
    forward_headers: types.HeaderNames = ()


class AccessSettings(Section):
    """The access mode, and what it needs."""

    mode: types.AccessMode = types.AccessMode.PASSTHROUGH
    clients_file: types.FilePath = None
    secret: types.SecretText = None


class FreshnessSettings(Section):
    """How long a stored response may be used."""

    lifetime: types.PositiveDuration = 30.0
    stale_while_revalidate: types.Duration = 300.0
    stale_if_error: types.Duration = 86400.0
    soft_wait: types.Duration = 1.0
    negative_lifetime: types.Duration = 10.0
    believe_after: types.Duration = 60.0
    source: types.FreshnessSource = types.FreshnessSource.POLICY
    no_store: types.NoStore = types.NoStore.RESPECT
    client_directives: types.ClientDirectives = types.ClientDirectives.LIMITED


class L1Settings(Section):
    """The cache in the process."""

    max_bytes: types.Size = 64 * 1024**2
    lifetime: types.Duration = 5.0


class RedisSettings(Section):
    """The cache that replicas share."""

    url: types.RedisUrl = None
    prefix: types.Prefix = "gateway"
    timeout: types.PositiveDuration = 0.05
    replicas: types.Count = 4


class SweepSettings(Section):
    """The sweep, which confirms entries before they are requested."""

    enabled: types.SweepEnabled = types.SweepEnabled.AUTO
    store: SweepStore = SweepStore.AUTO
    partitions: types.Sample = 1
    share: types.Share = 0.5
    interval: types.Interval = "auto"
    warm: types.SweepWarm = types.SweepWarm.BACKGROUND


class LogSettings(Section):
    """Log lines."""

    format: types.LogFormat | None = None
    level: types.LogLevel = types.LogLevel.INFO
    hits: types.Sample = 1_000


class TracingSettings(Section):
    """Spans of requests, for a collector."""

    endpoint: types.Endpoint = None


class LimitsSettings(Section):
    """The limits of connections and request heads, on both planes."""

    max_head: types.Size = 16 * 1024
    max_connections: types.Count = 10_000
    head_timeout: types.PositiveDuration = 10.0
    write_timeout: types.PositiveDuration = 30.0
    idle_timeout: types.PositiveDuration = 75.0


class Settings(BaseModel):
    """All settings. `Settings()` has the defaults."""

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
    f"{section}.{name}": types.kind_of(field)
    for section, table in SECTIONS.items()
    for name, field in table.model_fields.items()
}
SECRETS = tuple(name for name, kind in KINDS.items() if kind.secret)


def setting_of(name: str) -> str:
    """The setting that a name belongs to: `upstream.token` for `upstream.token_file`."""
    return name if name in KINDS else name.removesuffix("_file")


def effective(settings: Settings) -> dict[str, types.Printable]:
    """The value of every setting, under the setting's full name. A value has the form of the
    settings file (None: unset). Secrets are masked."""
    return {
        f"{section}.{name}": KINDS[f"{section}.{name}"].show(value)
        for section, table in settings
        for name, value in table
    }


def changed(settings: Settings) -> dict[str, types.Printable]:
    """As `effective`, but only the settings that differ from their defaults."""
    defaults = effective(Settings())
    return {name: value for name, value in effective(settings).items() if value != defaults[name]}


S = TypeVar("S", bound=Section)


def judge(table: type[S], values: Mapping[str, object], place: str) -> tuple[S, list[Fault]]:
    """The table with the valid values, and a fault for each invalid value. A default replaces an
    invalid value. All names of `values` have to be fields. The name of each fault begins with
    `place`."""
    try:
        return table.model_validate(values), []
    except ValidationError as error:
        unsound = {str(each["loc"][0]): each for each in error.errors(include_url=False)}
    faults = []
    for name, each in unsound.items():
        kind = kind_of(table.model_fields[name])
        problem = (
            f"is not {kind.noun}" if kind.secret else f"{_as_json(values[name])} is not {kind.noun}"
        )
        if each["type"] == "value_error":
            problem = str(each["ctx"]["error"]) or problem
        if went := WITHDRAWN.get(f'{place}.{name} = "{values[name]}"'):
            problem = f'"{values[name]}" {went}'
        faults.append(Fault(f"{place}.{name}", problem, kind.wanted))
    sound = {name: value for name, value in values.items() if name not in unsound}
    return table.model_validate(sound), faults


def _as_json(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


Names = Collection[str]

_MODE_AND_TOKEN = "access.mode upstream.token"
_CHOICE = (
    '"open" (callers are not checked); or, if you remove upstream.token, "clients" (callers send '
    'gateway keys) or "passthrough" (callers send API tokens of their own)'
)


def contradictions(settings: Settings, given: Names, faulty: Names) -> Iterator[Fault]:
    """The faults of settings that contradict each other, and of files that cannot be used.

    A `faulty` setting has its default here, so no contradiction with it is reported. `given` names
    the settings that were given, even if the value is the default.
    """
    for about, fault in (*_of_access(settings, given), *_of_the_rest(settings, given)):
        if not set(about.split()) & set(faulty):
            yield fault
    yield from _plane("server", settings.server, faulty)
    yield from _plane("admin", settings.admin, faulty)
    yield from _authorities("upstream.ca_certs", settings.upstream.ca_certs)
    yield from _file("access.clients_file", settings.access.clients_file)
    yield from _file("admin.tokens_file", settings.admin.tokens_file)
    yield from _files_of_redis(settings.redis.url)


def _of_access(settings: Settings, given: Names) -> Iterator[tuple[str, Fault]]:
    """Each fault comes with the names of the settings that cause it."""
    mode, token = settings.access.mode, settings.upstream.token
    if token is not None and "access.mode" not in given:
        problem = "is unset, and upstream.token is set: who may use the token?"
        yield _MODE_AND_TOKEN, Fault("access.mode", problem, _CHOICE)
        return
    if token is None and mode is types.AccessMode.OPEN:
        problem = 'is unset, and access.mode is "open"'
        yield (
            _MODE_AND_TOKEN,
            Fault("upstream.token", problem, "the token for the calls to the API"),
        )
    if token is not None and mode is not types.AccessMode.OPEN:
        passthrough = mode is types.AccessMode.PASSTHROUGH
        tenants = "no token: each tenant has its own in access.clients_file"
        wanted = 'no token, or access.mode "open"' if passthrough else tenants
        problem = f'would never be used, since access.mode is "{mode}"'
        yield _MODE_AND_TOKEN, Fault("upstream.token", problem, wanted)
    is_on = settings.sweep.enabled is types.SweepEnabled.TRUE
    if mode is types.AccessMode.PASSTHROUGH and is_on and settings.sweep.partitions == 0:
        problem = 'is true, access.mode is "passthrough", and sweep.partitions is 0'
        wanted = '"auto" or false, or sweep.partitions of 1 or more'
        yield f"{_MODE_AND_TOKEN} sweep.enabled", Fault("sweep.enabled", problem, wanted)
    if mode is types.AccessMode.CLIENTS and settings.access.clients_file is None:
        problem = 'is unset, and access.mode is "clients"'
        yield "access.mode access.clients_file", Fault("access.clients_file", problem, "a path")
    if mode is not types.AccessMode.CLIENTS and settings.access.clients_file is not None:
        problem = 'would never be used, since access.mode is not "clients"'
        wanted = 'no file, or access.mode "clients"'
        yield (
            f"{_MODE_AND_TOKEN} access.clients_file",
            Fault("access.clients_file", problem, wanted),
        )


def _of_the_rest(settings: Settings, given: Names) -> Iterator[tuple[str, Fault]]:
    server, admin, upstream = settings.server, settings.admin, settings.upstream
    if server.port == admin.port != 0 and _overlap(server.host, admin.host):
        about = "server.host server.port admin.host admin.port"
        wanted = "another port, or 0 for any free port"
        yield about, Fault("admin.port", "is the same as server.port", wanted)
    if "upstream.connect_timeout" in given and upstream.connect_timeout > upstream.timeout:
        problem = "is above upstream.timeout, the whole call's deadline"
        fault = Fault("upstream.connect_timeout", problem, "upstream.timeout at most")
        yield "upstream.connect_timeout upstream.timeout", fault
    if upstream.ca_certs is not None and upstream.base_url.lower().startswith("http:"):
        problem = "would never be used, since upstream.base_url begins with http://"
        fault = Fault(
            "upstream.ca_certs", problem, "no file, or an upstream.base_url with https://"
        )
        yield "upstream.ca_certs upstream.base_url", fault


def _overlap(one: str, other: str) -> bool:
    # An address for all interfaces (0.0.0.0 or ::) takes the port on each address of its family.
    are_v6 = (":" in one, ":" in other)
    overlap_in_v4 = "0.0.0.0" in (one, other) and not any(are_v6)
    return one == other or overlap_in_v4 or ("::" in (one, other) and all(are_v6))


def _plane(section: str, plane: ServerSettings | AdminSettings, faulty: Names) -> Iterator[Fault]:
    """The faults of a plane's certificate and key."""
    cert, key = plane.tls_cert, plane.tls_key
    yield from _file(f"{section}.tls_cert", cert)
    yield from _file(f"{section}.tls_key", key)
    if {f"{section}.tls_cert", f"{section}.tls_key"} & set(faulty):
        return
    if (cert is None) != (key is None):
        unset, other = ("tls_cert", "tls_key") if cert is None else ("tls_key", "tls_cert")
        problem = f"is unset, and {section}.{other} is set"
        yield Fault(f"{section}.{unset}", problem, "both or none")
    elif cert and key and is_readable(cert) and is_readable(key) and (why := unusable(cert, key)):
        yield Fault(f"{section}.tls_key", why, "PEM files of a certificate and its key")


def _authorities(name: str, path: Path | None) -> Iterator[Fault]:
    yield from _file(name, path)
    if path is not None and is_readable(path) and (why := unusable_authorities(path)):
        yield Fault(name, why, "a PEM file of certificates")


def _files_of_redis(url: SecretStr | None) -> Iterator[Fault]:
    """The faults show no path, because no part of the URL may be shown."""
    files = {} if url is None else read_address(url.get_secret_value()).files
    for name, path in files.items():
        if not is_readable(Path(path)):
            yield Fault("redis.url", f"{name} names no readable file", "the path of a PEM file")


def _file(name: str, path: Path | None) -> Iterator[Fault]:
    if path is not None and not is_readable(path):
        problem = f"names no readable file: {path.absolute()}"
        yield Fault(name, problem, "the path of a readable file")
