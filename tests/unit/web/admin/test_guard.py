"""The rules of the admin plane's door, as a function of where it listens and who comes."""

from __future__ import annotations

import pytest

from gateway.core.access.caller import digest_of
from gateway.core.access.operators import EVERYTHING, LOOPBACK, NOBODY, Operator, Operators
from gateway.core.errors import (
    AccessRefused,
    AdminTokenUnset,
    BadRequest,
    GatewayError,
    NotPermitted,
)
from gateway.core.vocabulary import AccessRefusal, Right
from gateway.web.admin.app import PATHS
from gateway.web.admin.guard import PROBES, Guard, Visit, admit, is_loopback

LOCAL = Guard("127.0.0.1", Operators(None), PATHS)
EXPOSED = Guard("0.0.0.0", Operators(None), PATHS)
GUARDED = [Guard(host, Operators("s3cret!"), PATHS) for host in ("127.0.0.1", "0.0.0.0", "::")]
INSIDE = ("/status", "/explain/a", "/settings", "/", "/page.js", "/no/such", "/metrics/", "//")
JSON = (b"content-type", b"application/json")
HERE = (b"host", b"localhost:8081")
EVIL = (b"host", b"evil.test")


def visit(path: str, *headers: tuple[bytes, bytes], method: str = "GET") -> Visit:
    """A request as the door sees it."""
    return Visit(method, path, headers)


def refusal(guard: Guard, visit: Visit) -> GatewayError | None:
    """Why the visit ends at the door, None where it may go on."""
    try:
        admit(guard, visit)
    except GatewayError as refused:
        return refused
    return None


def reason(guard: Guard, visit: Visit) -> AccessRefusal | None:
    """Why a credential was not enough, None where the visit may go on."""
    refused = refusal(guard, visit)
    assert refused is None or isinstance(refused, AccessRefused)
    return None if refused is None else refused.reason


@pytest.mark.parametrize("guard", [LOCAL, EXPOSED, *GUARDED])
@pytest.mark.parametrize("path", sorted(PROBES))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_metrics_and_probes_are_open_to_all(guard: Guard, path: str, method: str) -> None:
    """Whatever is set, whatever `Host` says: a scraper names the pod by its address."""
    assert refusal(guard, visit(path, method=method)) is None
    assert refusal(guard, visit(path, EVIL, method=method)) is None


@pytest.mark.parametrize("path", INSIDE)
@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"LocalHost:1",
        b"127.0.0.1:8081",
        b"127.8.9.10",
        b"[::1]",
        b"[::1]:8081",
        b"[0:0:0:0:0:0:0:1]:1",
    ],
)
def test_loopback_without_a_token_is_open(path: str, host: bytes) -> None:
    """To who asks for this machine by a name that can mean no other."""
    assert refusal(LOCAL, visit(path, (b"host", host))) is None


@pytest.mark.parametrize("path", INSIDE)
@pytest.mark.parametrize(
    "host",
    [
        b"evil.test",
        b"evil.test:8081",
        b"localhost.evil.test",
        b"127.0.0.1.evil.test",
        b"evil.test:@localhost",
        b"localhost/",
        b"localhost:8081:1",
        b"[::1].evil.test",
        b"[::ffff:10.0.0.1]",
        b"::1",
        b"10.0.0.1",
        b"0.0.0.0",
        b"128.0.0.1",
        b"",
        b" localhost",
        b"localhost\n",
    ],
)
def test_a_name_that_may_be_rebound_is_refused(path: str, host: bytes) -> None:
    """A page whose name was made to point here reads nothing."""
    assert isinstance(refusal(LOCAL, visit(path, (b"host", host))), BadRequest)


def test_the_host_is_named_exactly_once() -> None:
    """None, or two of which one is good, is no `Host`."""
    assert isinstance(refusal(LOCAL, visit("/status")), BadRequest)
    assert isinstance(refusal(LOCAL, visit("/status", HERE, EVIL)), BadRequest)


def test_the_address_listened_on_is_a_good_host() -> None:
    """Also where it is an unusual one."""
    guard = Guard("127.0.0.53", Operators(None), PATHS)

    assert refusal(guard, visit("/status", (b"host", b"127.0.0.53:1"))) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "X"])
@pytest.mark.parametrize("path", ["/purge", "/status", "/metrics", "/livez", "/"])
def test_changes_on_loopback_are_json(method: str, path: str) -> None:
    """A form of another site cannot say that; and nothing but GET and HEAD only reads."""
    assert isinstance(refusal(LOCAL, visit(path, HERE, method=method)), BadRequest)
    assert refusal(LOCAL, visit(path, HERE, JSON, method=method)) is None


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        (b"application/json", True),
        (b"Application/JSON; charset=utf-8", True),
        (b"application/jsonp", False),
        (b"text/plain; application/json", False),
        (b"application/x-www-form-urlencoded", False),
        (b"text/plain, application/json", False),
        (b"", False),
    ],
)
def test_what_is_json(kind: bytes, good: bool) -> None:
    """The media type alone counts, whatever its parameters."""
    refused = refusal(LOCAL, visit("/purge", HERE, (b"content-type", kind), method="POST"))

    assert (refused is None) is good


@pytest.mark.parametrize(
    ("site", "may"),
    [(b"same-origin", True), (b"none", True), (b"same-site", False), (b"cross-site", False)],
)
def test_a_page_of_another_site_changes_nothing(site: bytes, may: bool) -> None:
    """Also where its browser sends JSON without asking first."""
    fetched = (b"sec-fetch-site", site)

    refused = refusal(LOCAL, visit("/purge", HERE, JSON, fetched, method="POST"))

    assert (refused is None) is may
    assert refusal(LOCAL, visit("/", HERE, fetched)) is None  # a link may lead here


@pytest.mark.parametrize("guard", [EXPOSED, *GUARDED])
def test_the_shell_is_open_where_the_rest_is_not(guard: Guard) -> None:
    """The page without its figures, to be read and not to be changed."""
    for path in PATHS:
        assert refusal(guard, visit(path, EVIL)) is None
        assert reason(guard, visit(path, JSON, method="POST")) is AccessRefusal.CREDENTIAL_MISSING


@pytest.mark.parametrize("path", [path for path in INSIDE if path not in PATHS])
def test_another_host_without_a_token_shows_nothing(path: str) -> None:
    """Nobody can show what is not set, and a loopback `Host` is no proof of anything."""
    anything = (b"authorization", b"Bearer None")

    assert reason(EXPOSED, visit(path, HERE)) is AccessRefusal.CREDENTIAL_MISSING
    assert reason(EXPOSED, visit(path, HERE, anything)) is AccessRefusal.CREDENTIAL_UNKNOWN
    assert isinstance(refusal(EXPOSED, visit(path, HERE)), AdminTokenUnset)
    assert isinstance(refusal(EXPOSED, visit(path, HERE, anything)), AdminTokenUnset)


@pytest.mark.parametrize("guard", GUARDED)
@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([b"Bearer s3cret!"], None),
        ([b"bearer  s3cret! "], None),
        ([], AccessRefusal.CREDENTIAL_MISSING),
        ([b"Bearer wrong"], AccessRefusal.CREDENTIAL_UNKNOWN),
        ([b"Bearer s3cret"], AccessRefusal.CREDENTIAL_UNKNOWN),
        ([b"Bearer s3cret!!"], AccessRefusal.CREDENTIAL_UNKNOWN),
        ([b"Bearer S3CRET!"], AccessRefusal.CREDENTIAL_UNKNOWN),
        ([b"Bearer"], AccessRefusal.CREDENTIAL_MALFORMED),
        ([b"s3cret!"], AccessRefusal.CREDENTIAL_MALFORMED),
        ([b"Basic s3cret!"], AccessRefusal.CREDENTIAL_MALFORMED),
        ([b"Bearer s3\xffcret!"], AccessRefusal.CREDENTIAL_MALFORMED),
        ([b"Bearer s3cret!", b"Bearer s3cret!"], AccessRefusal.CREDENTIAL_MALFORMED),
    ],
)
def test_with_a_token_all_but_the_shell_needs_it(
    guard: Guard, fields: list[bytes], why: AccessRefusal | None
) -> None:
    """To read and to change alike, on loopback too; then `Host` does not matter."""
    headers = [(b"authorization", each) for each in fields]

    assert reason(guard, visit("/status", EVIL, *headers)) is why
    assert reason(guard, visit("/purge", EVIL, *headers, method="POST")) is why


@pytest.mark.parametrize(
    ("host", "stays"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.1.2.3", False),
        ("::ffff:127.0.0.1", False),
        ("localhost.test", False),
        ("gateway", False),
        ("", False),
    ],
)
def test_what_is_loopback(host: str, stays: bool) -> None:
    """In doubt it is not, and then a token is needed."""
    assert is_loopback(host) is stays


def test_the_token_is_not_shown() -> None:
    """A guard or a visit in a traceback or log tells no credential."""
    shown = repr(Guard("::", Operators("s3cret!"), PATHS)) + repr(
        visit("/", (b"authorization", b"Bearer s3cret!"))
    )

    assert "s3cret!" not in shown


def listed(*may: Right, host: str = "127.0.0.1", token: str | None = None) -> Guard:
    """A plane with the token `t0ken` in its file, which may do these things."""
    row = Operator("pipeline", (digest_of("t0ken"),), frozenset(may))
    return Guard(host, Operators(token, [row]), PATHS)


T0KEN = (b"authorization", b"Bearer t0ken")


def test_the_operator_is_known_by_the_token() -> None:
    """By its name in the file, `admin.token` by its own; without tokens by where it came from."""
    both = listed(Right.READ, token="s3cret!")

    assert admit(both, visit("/status", T0KEN)).name == "pipeline"
    own = admit(both, visit("/purge", (b"authorization", b"Bearer s3cret!"), method="POST"))
    assert (own.name, own.may) == ("admin.token", EVERYTHING)
    assert admit(LOCAL, visit("/status", HERE)) is LOOPBACK
    assert admit(both, visit("/metrics")) is NOBODY


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_file_of_tokens_closes_loopback_too(host: str) -> None:
    """As `admin.token` does; and no token is said to be unset."""
    refused = refusal(listed(*Right, host=host), visit("/status", HERE))

    assert isinstance(refused, AccessRefused)
    assert not isinstance(refused, AdminTokenUnset)


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/later", "/status", "/invalidate/"])
def test_a_change_that_is_no_order_needs_everything(method: str, path: str) -> None:
    """A route that is added later is closed to tokens that may a part."""
    asked = visit(path, T0KEN, method=method)

    refused = refusal(listed(Right.READ, Right.INVALIDATE, Right.PURGE), asked)

    assert isinstance(refused, NotPermitted)
    assert (refused.operator, refused.needed) == ("pipeline", None)
    assert refusal(listed(*Right), asked) is None
