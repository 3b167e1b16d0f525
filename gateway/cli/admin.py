"""Asks the admin plane of a running gateway, and writes times, durations and sizes for people."""

# ruff: noqa: PLC0415 -- heavy imports wait until a command runs

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from gateway.cli.serve import FAILED, HERE, WRONG_SETTINGS, complain

if TYPE_CHECKING:
    from typing import Any

    import httpx

    from gateway.settings import AdminSettings


# Seconds to wait for a response. An order waits for Redis and the other replicas.
_PATIENCE = 10.0
_PATIENCE_WITH_ORDERS = 60.0
# The end of the message if an order got no response.
_DOUBT = "; perhaps the order was carried out; it is safe to repeat it"
# Only the data plane names this route, in its problem response to a path without a route.
_ROUTE_FOR_CALLERS = "/training/{id}"
# Members of /status that this version sends, and version 0.1.0 does not.
_STATUS = {"time", "findings", "mode_order"}


def _sendable(_context: click.Context, _option: click.Parameter, said: str | None) -> str | None:
    """The token. Raises BadParameter with a message that shows no part of it."""
    from gateway.settings.parsers import parse_token

    if said is not None:
        try:
            parse_token(said)
        except ValueError as error:
            raise click.BadParameter(f"{error}.") from None
    return said


_admin_option = click.option(
    "--admin",
    metavar="URL|PORT",
    help="The admin address of a running gateway, or its port on this machine. Default: the "
    "address in the settings (GATEWAY_CONFIG, GATEWAY_ADMIN__PORT), otherwise "
    "http://127.0.0.1:8081. If only a port is given, host and TLS are those of the settings.",
)
_token_option = click.option(
    "--token",
    callback=_sendable,
    help="The admin token, if the gateway has one. Default: the token in GATEWAY_ADMIN__TOKEN, or "
    "in the file that GATEWAY_ADMIN__TOKEN_FILE names. If --admin is no URL, the default can "
    "also be the token in the settings file that GATEWAY_CONFIG names. The default is safer than "
    "--token, because a list of processes shows the value of --token.",
)
_ca_option = click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A PEM file with the certificate authorities for an https address. Default: the "
    "certificate in admin.tls_cert if it is set and --admin is no URL, otherwise the public "
    "authorities.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def plane_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name a gateway. The command gets an `Admin` as `plane`."""

    @wraps(command)
    def with_plane(
        *, admin: str | None, token: str | None, ca: Path | None, **others: object
    ) -> None:
        _refuse_other_encodings(others.values())
        command(plane=_plane(admin, token, ca), **others)

    return _admin_option(_token_option(_ca_option(with_plane)))


def _refuse_other_encodings(values: Iterable[object]) -> None:
    """Exit if bytes of an argument are not UTF-8. Python turns them into lone surrogates."""
    for value in values:
        if isinstance(value, tuple):
            _refuse_other_encodings(value)
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise click.UsageError(f"{value!a} is not UTF-8") from None


def _plane(admin: str | None, token: str | None, ca: Path | None) -> Admin:
    """The admin plane that the options name. The settings replace missing options.

    If `--admin` is a URL, the gateway at this URL perhaps has other settings. So a token from the
    settings file is not sent to this URL.
    """
    from gateway.settings import load_admin

    tls = None if ca is None else _trusting("--ca", ca)
    is_here = admin is None or admin.isdecimal()
    url = admin or ""
    if is_here or token is None:
        here, faults = load_admin(None, is_here=is_here)
        if faults and (admin is None or token is None):  # otherwise the options are enough
            complain(map(str, faults), WRONG_SETTINGS)
        if is_here:
            url = _own_address(here, admin or str(here.port))
            if tls is None and here.tls_cert is not None:
                tls = _trusting("admin.tls_cert", here.tls_cert)
                # The certificate of this gateway perhaps lacks the name 127.0.0.1.
                tls.check_hostname = False
                tls.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
        if token is None and here.token is not None:
            token = here.token.get_secret_value()
    return Admin(url, token, tls)


def _own_address(here: AdminSettings, port: str) -> str:
    host = HERE.get(here.host, here.host)
    scheme = "http" if here.tls_cert is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _trusting(name: str, path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        unused = f"cannot be read: {error.strerror}"
        if isinstance(error, ssl.SSLError):
            unused = "has no certificates that can be used"
        other = "; otherwise name the authority with --ca, perhaps with a URL in --admin"
        other = "" if name == "--ca" else other
        complain([f"{name}: {path} {unused} (wanted: a PEM file{other})"], FAILED)


def seconds_of(date_time: str) -> float:
    """A date-time of the admin plane, as seconds since the Unix epoch."""
    from gateway.core.instant import parse_instant, to_seconds

    return to_seconds(parse_instant(date_time))


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin plane at an address. `tls` replaces the default context, which trusts public
    authorities.

    Each method that sends a request exits with code 1 and a line on standard error if no response
    arrives, if the response is an error, or if its body is no JSON.
    """

    url: str
    token: str | None = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """The URL without a slash at its end."""
        return self.url.rstrip("/")

    def get(self, path: str, query: Mapping[str, str]) -> httpx.Response:
        """The response to a GET of this path."""
        return self._ask("GET", path, query=query, patience=_PATIENCE)

    def status(self) -> tuple[httpx.Response, Mapping[str, Any]]:
        """The response of /status, and its members."""
        answer = self.get("/status", {})
        return answer, self.members(answer, _STATUS)

    def members(self, answer: httpx.Response, needed: Set[str]) -> dict[str, Any]:
        """The members of a response. Exits if one of `needed` is missing: then no admin plane
        answered."""
        words = _members(answer)
        if not words.keys() >= needed:
            self.exit_as_no_admin_plane(answer.status_code)
        return words

    def order(self, path: str, words: Mapping[str, object]) -> httpx.Response:
        """The response to an order."""
        return self._ask("POST", path, words=words, patience=_PATIENCE_WITH_ORDERS)

    def exit_as_no_admin_plane(self, status: int) -> NoReturn:
        """Exit, because the server that answered is no admin plane, or one of another version."""
        said = f"is not the admin address of a gateway of this version (it answers {status})"
        complain([f"{self.address}: {said}"], FAILED)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        patience: float,
        query: Mapping[str, str] | None = None,
        words: Mapping[str, object] | None = None,
    ) -> httpx.Response:
        import httpx

        address = self.address
        try:
            answer = httpx.request(
                method,
                f"{address}{path}",
                params=query,
                json=words,
                headers={} if self.token is None else {"Authorization": f"Bearer {self.token}"},
                timeout=patience,
                trust_env=False,
                verify=self.tls or True,
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
            complain([f"--admin {address}: is not an address (wanted: http://host:port)"], FAILED)
        except httpx.ConnectError as error:
            complain([f"{address}: {_why_unconnected(error)}"], FAILED)
        except httpx.HTTPError as error:
            doubt = "" if words is None else _DOUBT
            why = str(error) or type(error).__name__
            complain([f"{address}: no answer: {why}{doubt}"], FAILED)
        return self._judged(answer)

    def _judged(self, answer: httpx.Response) -> httpx.Response:
        kind = answer.headers.get("content-type", "")
        problem = _members(answer) if kind.startswith("application/problem+json") else {}
        said = problem.get("detail") or problem.get("title")
        if answer.status_code == 401 and "admin.token" not in str(said):
            sources = "--token, GATEWAY_ADMIN__TOKEN or GATEWAY_ADMIN__TOKEN_FILE"
            said = f"needs the admin token: {sources}"
            if self.token is not None:
                said = f"does not accept the admin token that was sent; name another: {sources}"
        if _ROUTE_FOR_CALLERS in str(said):
            said = (
                "is the port for callers; operators have another port "
                "(admin.port, 8081 unless set): name it with --admin"
            )
        if said:
            complain([f"{self.address}: {said}"], FAILED)
        if not answer.is_success or not kind.startswith("application/json"):
            self.exit_as_no_admin_plane(answer.status_code)
        return answer


def _members(answer: httpx.Response) -> dict[str, Any]:
    """The members of the body if it is a JSON object, otherwise an empty dict."""
    try:
        words = answer.json()
    except ValueError:
        return {}
    return words if isinstance(words, dict) else {}


def _why_unconnected(error: httpx.ConnectError) -> str:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):  # also ssl.SSLError
        cause = cause.__cause__ or cause.__context__
    match cause:
        case None | ConnectionRefusedError():
            return "nothing listens there; is it the admin address (--admin)?"
        case ssl.SSLCertVerificationError():
            why = cause.verify_message
            return f"its certificate is not trusted: {why} (name its authority with --ca)"
        case ssl.SSLError():
            return f"TLS failed: {cause.reason}; does the admin port use TLS?"
        case _:
            why = cause.strerror or str(cause)
            return f"no connection: {why}; is it the admin address (--admin)?"


_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SIZES: Final = ("KiB", "MiB", "GiB")


def duration(seconds: float) -> str:
    """Seconds as text, in two units at most: `250 ms`, `1.5 s`, `4 min 7 s`."""
    if seconds < 1.0:
        milliseconds = min(999, round(seconds * 1000))
        return f"{milliseconds} ms" if milliseconds > 0 else "0 s"
    if seconds < 10.0:
        return f"{math.floor(seconds * 10) / 10:g} s"
    left = math.floor(seconds)
    parts: list[str] = []
    for word, unit in _UNITS:
        count, left = divmod(left, unit)
        if count or parts:
            parts.append(f"{count} {word}" if count else "")
    return " ".join(filter(None, parts[:2]))


def moment(at: float, now: float) -> str:
    """The time `at` with its distance from `now`. Both are seconds since the Unix epoch."""
    then, today = (datetime.fromtimestamp(each, UTC) for each in (at, now))
    form = "%H:%M:%S UTC" if then.date() == today.date() else "%Y-%m-%d %H:%M:%S UTC"
    ago = now - at
    distance = "just now"
    if ago >= 1.0:
        distance = f"{duration(ago)} ago"
    elif ago <= -1.0:
        distance = f"in {duration(-ago)}"
    return f"{then.strftime(form)} ({distance})"


def size(count: float) -> str:
    """Bytes as text: `312 bytes`, `2.1 KiB`."""
    if count < 1024:
        return f"{count:.0f} bytes"
    for unit in _SIZES:
        count /= 1024
        if round(count, 1) < 1024 or unit == _SIZES[-1]:
            break
    return f"{count:.1f} {unit}".replace(".0 ", " ")
