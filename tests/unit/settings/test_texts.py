"""Hosts, URLs, header names, tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings.texts import (
    NEVER_FORWARDED,
    mask_url,
    parse_base_url,
    parse_header_names,
    parse_host,
    parse_path,
    parse_prefix,
    parse_redis_url,
    parse_secret,
    parse_token,
)
from gateway.settings.values import Secret


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost", "a.b-c.d"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    """Of both families, without brackets."""
    assert parse_host(host) == host


@pytest.mark.parametrize("host", ["", "a b", "http://a", "a:80", "[::1]", "a/b", "-a", 1, None])
def test_what_has_a_scheme_or_port_is_no_host(host: object) -> None:
    """The port has its own setting."""
    with pytest.raises(ValueError, match=r"^$"):
        parse_host(host)


def test_a_path_is_any_text_that_can_be_one() -> None:
    """Whether something is there is asked elsewhere."""
    assert parse_path("tls/key.pem") == parse_path(Path("tls/key.pem")) == Path("tls/key.pem")
    for impossible in ("", "a\0b", 3):
        with pytest.raises(ValueError, match=r"^$"):
            parse_path(impossible)


@pytest.mark.parametrize("text", ["two words", "line\n", "ü", "\x7f"])
def test_a_token_fits_into_a_header(text: str) -> None:
    """Whatever would break a header is refused without being repeated."""
    with pytest.raises(ValueError, match="outside ASCII") as caught:
        parse_token(text)

    assert text not in str(caught.value)


def test_a_secret_is_any_text_but_the_empty_one() -> None:
    """An HMAC takes every text; an empty variable is a mistake."""
    assert parse_secret("ü two words") == parse_secret(Secret("ü two words"))
    with pytest.raises(ValueError, match="is empty"):
        parse_secret("")
    with pytest.raises(ValueError, match="is not UTF-8"):
        parse_secret("\udcff")
    with pytest.raises(ValueError, match=r"^$"):
        parse_secret(5)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://api.open.cx", "https://api.open.cx"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
        ("https://proxy.example/open/v1/", "https://proxy.example/open/v1"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_a_base_url_has_no_slash_at_its_end(written: str, kept: str) -> None:
    """So that a path can be put behind it."""
    assert parse_base_url(written) == kept


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("api.open.cx", "^$"), ("ftp://a", "^$"), ("https://", "^$"), ("https:///x", "^$"),
        ("https://a b", "^$"), ("https://a\nb", "^$"), ("https://a:99999", "^$"),
        ("https://a:x", "^$"), ("https://[::1", "^$"), ("https://[zz]", "^$"), (5, "^$"),
        ("https://me:pw@a", "credentials"), ("https://a?x=1", "query"), ("https://a#x", "fragment"),
        ("https://a?", "query"),
    ],
)  # fmt: skip
def test_what_is_no_base_url_is_refused(url: object, problem: str) -> None:
    """Credentials, query and fragment by their names."""
    with pytest.raises(ValueError, match=problem):
        parse_base_url(url)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://cache", "redis://cache"),
        ("rediss://:pw@cache:6380/1", "rediss://***@cache:6380/1"),
        ("redis://me:p%40w@[::1]:6379", "redis://***@[::1]:6379"),
        ("redis://cache?password=pw", "redis://cache?***"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?***"),
        ("unix://me:pw@/run/redis.sock", "unix://***@/run/redis.sock"),
        ("redis+sentinel://a:26379,b:26379/main", "redis+sentinel://a:26379,b:26379/main"),
        ("redis+sentinel://:pw@a,b/main/2", "redis+sentinel://***@a,b/main/2"),
        ("redis+cluster://a:7000,b:7000", "redis+cluster://a:7000,b:7000"),
    ],
)
def test_a_redis_url_is_a_secret_with_a_mask(url: str, masked: str) -> None:
    """Every scheme; neither user, password nor query is shown."""
    secret = parse_redis_url(url)

    assert secret == Secret(url)
    assert mask_url(secret.reveal()) == masked


@pytest.mark.parametrize(
    "url",
    [
        "", "cache:6379", "http://cache", "redis://", "redis://cache/x", "redis://cache:99999",
        "redis://a,b", "redis://cache#x", "redis://[::1", "redis:// cache", "unix://",
        "unix://cache/run/redis.sock", "redis+sentinel://a,b", "redis+sentinel://a,,b/main",
        "redis+sentinel://a/main/x", "redis+cluster://a/1", "memcached://a", 6379,
        "redis://:p@w/x@cache", "redis://:p/w@cache", "redis://cache?password=p@w",
    ],
)  # fmt: skip
def test_what_is_no_redis_url_is_refused(url: object) -> None:
    """Also a password whose end cannot be told; and the text is never repeated."""
    with pytest.raises(ValueError, match=r"^(|is empty|has .*)$") as caught:
        parse_redis_url(url)

    assert "cache" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_prefix_has_no_braces() -> None:
    """Braces decide the slot of a key, so they are ours to set."""
    assert parse_prefix("team-a:gateway") == "team-a:gateway"
    for unfit in ("", "a{b}", "a b", "ü", "x" * 65, 1):
        with pytest.raises(ValueError, match=r"^$"):
            parse_prefix(unfit)


def test_header_names_are_kept_in_lower_case() -> None:
    """A list of names, in its order."""
    assert parse_header_names(["X-Tenant", "accept-language"]) == ("x-tenant", "accept-language")
    assert parse_header_names([]) == ()


@pytest.mark.parametrize(
    "name", ["Connection", "TE", "Host", "Authorization", "Content-Length", "Cookie", "Upgrade"]
)
def test_headers_that_are_ours_are_never_forwarded(name: str) -> None:
    """Neither those of one connection nor those that say who is asking."""
    assert name.lower() in NEVER_FORWARDED
    with pytest.raises(ValueError, match="is never forwarded"):
        parse_header_names([name])


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("X-A", "^$"), ({"X-A": 1}, "^$"), (["X-A", "x-a"], "twice"), ([""], "entry 1 is not"),
        (["X-A", "Authorization: Bearer hunter2"], "entry 2 is not the name of a header$"),
        ([7], "entry 1"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_header_names_is_refused(names: object, problem: str) -> None:
    """An entry is told by its place, since it might hold a credential."""
    with pytest.raises(ValueError, match=problem):
        parse_header_names(names)
