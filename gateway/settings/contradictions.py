"""Settings that are sound one by one and make no sense together, or name files that are not there.

Called with what the operator gave, so that "unset" and "set to the default" stay different.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.settings.certificates import unusable
from gateway.settings.faults import Fault
from gateway.settings.schema import AdminSettings, ServerSettings, Settings
from gateway.settings.words import AccessMode, SweepEnabled

Names = Collection[str]

_CHOICE = (
    '"open" (no caller check), or without upstream.token "clients" (callers present gateway keys) '
    'or "passthrough" (callers bring their own)'
)


@dataclass(frozen=True, slots=True)
class _Rule:
    about: tuple[str, ...]
    broken: Callable[[Settings, Names], bool]
    fault: Fault


def contradictions(settings: Settings, given: Names, faulty: Names) -> Iterator[Fault]:
    """The rules that these settings break; none about a setting that is known to be faulty."""
    for rule in _RULES:
        if not set(rule.about) & set(faulty) and rule.broken(settings, given):
            yield rule.fault
    for name, path in _files(settings):
        if path is not None and not _is_readable(path):
            problem = f"names no readable file: {path.absolute()}"
            yield Fault(name, problem, "the path of a readable file")
    for section, plane in _planes(settings):
        yield from _pair(section, plane, faulty)


def _share_a_port(settings: Settings, _given: Names) -> bool:
    data, admin = settings.server, settings.admin
    return data.port == admin.port != 0 and _meet(data.host, admin.host)


def _meet(one: str, other: str) -> bool:
    if one == other:
        return True
    # An address that stands for all takes the port of each address of its family.
    if "0.0.0.0" in (one, other):
        return ":" not in one + other
    return "::" in (one, other) and ":" in one and ":" in other


def _asks_for_a_mode(settings: Settings, given: Names) -> bool:
    return "access.mode" not in given and settings.upstream.token is not None


def _lacks_a_token(settings: Settings, _given: Names) -> bool:
    return settings.access.mode is AccessMode.OPEN and settings.upstream.token is None


def _has_an_idle_token(settings: Settings, given: Names) -> bool:
    passthrough = settings.access.mode is AccessMode.PASSTHROUGH and "access.mode" in given
    return passthrough and settings.upstream.token is not None


def _has_a_token_beside_the_tenants(settings: Settings, _given: Names) -> bool:
    return settings.access.mode is AccessMode.CLIENTS and settings.upstream.token is not None


def _sweeps_with_nobodys_token(settings: Settings, given: Names) -> bool:
    passthrough = settings.access.mode is AccessMode.PASSTHROUGH
    swept = settings.sweep.enabled is SweepEnabled.TRUE
    return passthrough and swept and not _asks_for_a_mode(settings, given)


def _connects_longer_than_it_calls(settings: Settings, given: Names) -> bool:
    upstream = settings.upstream
    return "upstream.connect_timeout" in given and upstream.connect_timeout > upstream.timeout


def _lacks_clients(settings: Settings, _given: Names) -> bool:
    access = settings.access
    return access.mode is AccessMode.CLIENTS and access.clients_file is None


def _has_idle_clients(settings: Settings, given: Names) -> bool:
    access = settings.access
    idle = access.mode is not AccessMode.CLIENTS and access.clients_file is not None
    return idle and not _asks_for_a_mode(settings, given)


def _planes(settings: Settings) -> tuple[tuple[str, ServerSettings | AdminSettings], ...]:
    return (("server", settings.server), ("admin", settings.admin))


def _pair(section: str, plane: ServerSettings | AdminSettings, faulty: Names) -> Iterator[Fault]:
    """What is wrong with a plane's certificate and key, beside their being readable."""
    cert, key = plane.tls_cert, plane.tls_key
    if {f"{section}.tls_cert", f"{section}.tls_key"} & set(faulty):
        return
    for name, other, lacks in (
        ("tls_cert", "tls_key", cert is None and key is not None),
        ("tls_key", "tls_cert", key is None and cert is not None),
    ):
        if lacks:
            problem = f"is unset, and {section}.{other} is set"
            yield Fault(f"{section}.{name}", problem, "both or none")
    if cert is None or key is None or not (_is_readable(cert) and _is_readable(key)):
        return
    if (why := unusable(cert, key)) is not None:
        yield Fault(f"{section}.tls_key", why, "PEM files of a certificate and its key")


def _files(settings: Settings) -> Iterator[tuple[str, Path | None]]:
    for section, plane in _planes(settings):
        yield f"{section}.tls_cert", plane.tls_cert
        yield f"{section}.tls_key", plane.tls_key
    yield "access.clients_file", settings.access.clients_file


def _is_readable(path: Path) -> bool:
    try:
        if not path.is_file():  # to open a pipe would wait for its writer
            return False
        with path.open("rb"):
            return True
    except OSError:
        return False


_RULES = (
    _Rule(
        ("server.host", "server.port", "admin.host", "admin.port"),
        _share_a_port,
        Fault("admin.port", "is the port of server.port", "another port, or 0 for any"),
    ),
    _Rule(
        ("access.mode", "upstream.token"),
        _asks_for_a_mode,
        Fault("access.mode", "is unset, and upstream.token is set: who may use it?", _CHOICE),
    ),
    _Rule(
        ("access.mode", "upstream.token"),
        _lacks_a_token,
        Fault("upstream.token", 'is unset, and access.mode is "open"', "the token to ask with"),
    ),
    _Rule(
        ("access.mode", "upstream.token"),
        _has_an_idle_token,
        Fault(
            "upstream.token",
            'would never be used, since access.mode is "passthrough"',
            'no token, or access.mode "open"',
        ),
    ),
    _Rule(
        ("access.mode", "upstream.token"),
        _has_a_token_beside_the_tenants,
        Fault(
            "upstream.token",
            'would never be used, since access.mode is "clients"',
            "no token: each tenant has its own in access.clients_file",
        ),
    ),
    _Rule(
        ("access.mode", "sweep.enabled", "upstream.token"),
        _sweeps_with_nobodys_token,
        Fault(
            "sweep.enabled",
            'is true, and access.mode is "passthrough": the gateway has no token to sweep with',
            '"auto" or false, or access.mode "open" or "clients"',
        ),
    ),
    _Rule(
        ("upstream.connect_timeout", "upstream.timeout"),
        _connects_longer_than_it_calls,
        Fault(
            "upstream.connect_timeout",
            "is above upstream.timeout, the whole call's deadline",
            "upstream.timeout at most",
        ),
    ),
    _Rule(
        ("access.mode", "access.clients_file"),
        _lacks_clients,
        Fault("access.clients_file", 'is unset, and access.mode is "clients"', "a path"),
    ),
    _Rule(
        ("access.mode", "access.clients_file", "upstream.token"),
        _has_idle_clients,
        Fault(
            "access.clients_file",
            'would never be used, since access.mode is not "clients"',
            'no file, or access.mode "clients"',
        ),
    ),
)
