"""Settings that are sound one by one and make no sense together, or name files that are not there.

Called with what the operator gave, so that "unset" and "set to the default" stay different.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from gateway.settings.files import is_readable, unusable
from gateway.settings.schema import AdminSettings, ServerSettings, Settings
from gateway.settings.types import AccessMode, Fault, SweepEnabled

Names = Collection[str]


_MODE = "access.mode upstream.token"
_CHOICE = (
    '"open" (no caller check), or without upstream.token "clients" (callers present gateway keys) '
    'or "passthrough" (callers bring their own)'
)


def contradictions(settings: Settings, given: Names, faulty: Names) -> Iterator[Fault]:
    """What does not fit together; nothing about a setting that is known to be faulty."""
    for about, fault in (*_of_access(settings, given), *_of_the_rest(settings, given)):
        if not set(about.split()) & set(faulty):
            yield fault
    yield from _plane("server", settings.server, faulty)
    yield from _plane("admin", settings.admin, faulty)
    yield from _file("access.clients_file", settings.access.clients_file)
    yield from _file("admin.tokens_file", settings.admin.tokens_file)


def _of_access(settings: Settings, given: Names) -> Iterator[tuple[str, Fault]]:
    """Faults, each with the settings that it follows from."""
    mode, token = settings.access.mode, settings.upstream.token
    if token is not None and "access.mode" not in given:
        problem = "is unset, and upstream.token is set: who may use it?"
        yield _MODE, Fault("access.mode", problem, _CHOICE)
        return
    if token is None and mode is AccessMode.OPEN:
        problem = 'is unset, and access.mode is "open"'
        yield _MODE, Fault("upstream.token", problem, "the token to ask with")
    if token is not None and mode is not AccessMode.OPEN:
        passthrough = mode is AccessMode.PASSTHROUGH
        tenants = "no token: each tenant has its own in access.clients_file"
        wanted = 'no token, or access.mode "open"' if passthrough else tenants
        problem = f'would never be used, since access.mode is "{mode}"'
        yield _MODE, Fault("upstream.token", problem, wanted)
    if mode is AccessMode.PASSTHROUGH and settings.sweep.enabled is SweepEnabled.TRUE:
        problem = (
            'is true, and access.mode is "passthrough": the gateway has no token to sweep with'
        )
        wanted = '"auto" or false, or access.mode "open" or "clients"'
        yield f"{_MODE} sweep.enabled", Fault("sweep.enabled", problem, wanted)
    if mode is AccessMode.CLIENTS and settings.access.clients_file is None:
        problem = 'is unset, and access.mode is "clients"'
        yield "access.mode access.clients_file", Fault("access.clients_file", problem, "a path")
    if mode is not AccessMode.CLIENTS and settings.access.clients_file is not None:
        problem = 'would never be used, since access.mode is not "clients"'
        wanted = 'no file, or access.mode "clients"'
        yield f"{_MODE} access.clients_file", Fault("access.clients_file", problem, wanted)


def _of_the_rest(settings: Settings, given: Names) -> Iterator[tuple[str, Fault]]:
    server, admin, upstream = settings.server, settings.admin, settings.upstream
    if server.port == admin.port != 0 and _meet(server.host, admin.host):
        about = "server.host server.port admin.host admin.port"
        wanted = "another port, or 0 for any"
        yield about, Fault("admin.port", "is the port of server.port", wanted)
    if "upstream.connect_timeout" in given and upstream.connect_timeout > upstream.timeout:
        problem = "is above upstream.timeout, the whole call's deadline"
        fault = Fault("upstream.connect_timeout", problem, "upstream.timeout at most")
        yield "upstream.connect_timeout upstream.timeout", fault


def _meet(one: str, other: str) -> bool:
    # An address that stands for all takes the port of each address of its family.
    of_six = (":" in one, ":" in other)
    meet_in_four = "0.0.0.0" in (one, other) and not any(of_six)
    return one == other or meet_in_four or ("::" in (one, other) and all(of_six))


def _plane(section: str, plane: ServerSettings | AdminSettings, faulty: Names) -> Iterator[Fault]:
    """What is wrong with a plane's certificate and key."""
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


def _file(name: str, path: Path | None) -> Iterator[Fault]:
    if path is not None and not is_readable(path):
        problem = f"names no readable file: {path.absolute()}"
        yield Fault(name, problem, "the path of a readable file")
