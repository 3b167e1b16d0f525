"""What operators write, and what becomes of it: durations, sizes, rates, hosts, URLs, tokens."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.core.budget.window_log import Rate
from gateway.settings.parsers import (
    LONGEST_DURATION,
    NEVER_FORWARDED,
    format_duration,
    format_rate,
    format_size,
    mask_url,
    parse_base_url,
    parse_duration,
    parse_header_names,
    parse_host,
    parse_path,
    parse_positive_duration,
    parse_rate,
    parse_redis_url,
    parse_secret,
    parse_size,
    parse_token,
)

SECONDS = st.floats(min_value=0, max_value=LONGEST_DURATION, allow_nan=False)
# Digits are limited, so a rate's window is written in steps of a nanosecond at the finest.
WINDOWS = st.integers(min_value=10**6, max_value=10**15).map(lambda nanos: nanos / 10**9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (30, 30.0), (0.25, 0.25), ("30", 30.0), ("30s", 30.0), ("5m", 300.0), ("24h", 86400.0),
        ("250ms", 0.25), ("50ms", 0.05), ("1d", 86400.0), ("1.5s", 1.5), (0, 0.0), ("0s", 0.0),
    ],
)  # fmt: skip
def test_a_duration_is_seconds(text: object, seconds: float) -> None:
    """Numbers and all units, zero included, as exact as the decimal that was written."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "soon", "", " 30s", "30 s", "-1s", -1, "1e3", "1y", "s", "٣s", "1.s", True, None, [30],
        math.nan, math.inf, 10**400, "9" * 18 + "d", "1m30s", "30S",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: object) -> None:
    """Nothing is guessed, and nothing but ValueError comes out."""
    with pytest.raises(ValueError, match=r"^$"):
        parse_duration(text)


def test_zero_is_refused_where_it_makes_no_sense() -> None:
    """A lifetime of nothing is a mistake that deserves its own words."""
    assert parse_positive_duration("1ms") == 0.001
    for text in ("0s", "0.0001ms", "0.0009s"):
        with pytest.raises(ValueError, match="must be at least 1ms"):
            parse_positive_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (-0.0, "0s"), (0.05, "50ms"), (30.0, "30s"), (300.0, "5m"), (86400.0, "24h"),
     (1.5, "1500ms"), (90.0, "90s"), (0.0001, "0.0001s")],
)  # fmt: skip
def test_a_duration_is_shown_in_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    """As the contract writes its defaults."""
    assert format_duration(seconds) == text


@given(st.integers(0, LONGEST_DURATION * 1000).map(lambda milliseconds: milliseconds / 1000))
def test_a_shown_duration_reads_back(seconds: float) -> None:
    """format_duration and parse_duration are each other's inverse, to the last bit."""
    assert parse_duration(format_duration(seconds)) == seconds


@given(SECONDS)
def test_any_number_of_seconds_is_kept(seconds: float) -> None:
    """A number from a TOML file is the duration."""
    assert parse_duration(seconds) == seconds


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none())
def test_parsers_raise_nothing_but_value_error(value: object) -> None:
    """Whatever stands in the file, the fault can be reported with all the others."""
    for parse in (parse_duration, parse_positive_duration, parse_size, parse_rate):
        with contextlib.suppress(ValueError):
            parse(value)


@pytest.mark.parametrize(
    ("text", "size"),
    [(1000, 1000), ("1048576", 1048576), ("7000B", 7000), ("1KiB", 1024), ("64MiB", 64 * 1024**2),
     ("1GiB", 1024**3), ("1kB", 1000), ("1KB", 1000), ("1MB", 10**6), ("2GB", 2 * 10**9)],
)  # fmt: skip
def test_a_size_is_bytes(text: object, size: int) -> None:
    """Binary units are powers of 1024, the others of 1000."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["big", "", "-1", -1, 1.5, "1.5MiB", "64 MiB", "64M", True, None])
def test_what_is_no_size_is_refused(text: object) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"^$"):
        parse_size(text)


@pytest.mark.parametrize("text", [0, "0", "0MiB", 1, "999B"])
def test_a_size_of_next_to_nothing_is_refused(text: object) -> None:
    """No limit of ours makes sense below a thousand bytes."""
    with pytest.raises(ValueError, match="must be at least 1000 bytes"):
        parse_size(text)


@given(st.integers(1000, 10**17) | st.integers(1, 10**5).map(lambda n: n * 1024**2))
def test_a_shown_size_reads_back(size: int) -> None:
    """format_size and parse_size are each other's inverse."""
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/minute", Rate(100, 60.0)), ("5/second", Rate(5, 1.0)), ("10/6s", Rate(10, 6.0)),
        ("1000/hour", Rate(1000, 3600.0)), ("1/day", Rate(1, 86400.0)), ("3/500ms", Rate(3, 0.5)),
        ("unlimited", None), (Rate(1, 1.0), Rate(1, 1.0)), (None, None),
    ],
)  # fmt: skip
def test_a_rate_is_a_limit_and_a_window(text: object, rate: Rate | None) -> None:
    """Words and durations for the window; None is unlimited."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["often", "", "100", 100, "100/", "/minute", "0/minute", "-1/minute", "1.5/minute", "100/min",
     "100/6", "1/0x", "1/..s", "100 / minute", "Unlimited", True, "9999999999/s"],
)  # fmt: skip
def test_what_is_no_rate_is_refused(text: object) -> None:
    """Nothing is guessed; a window needs its unit."""
    with pytest.raises(ValueError, match=r"^$"):
        parse_rate(text)


@given(st.none() | st.builds(Rate, st.integers(1, 999_999_999), WINDOWS))
def test_a_shown_rate_reads_back(rate: Rate | None) -> None:
    """format_rate and parse_rate are each other's inverse."""
    assert parse_rate(format_rate(rate)) == rate


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost", "a.b-c.d"])
def test_names_and_addresses_are_hosts(host: str) -> None:
    """Of both families, without brackets."""
    assert parse_host(host) == host


@pytest.mark.parametrize("host", ["", "a b", "http://a", "a:80", "[::1]", "a/b", "-a", 1, None])
def test_what_has_a_scheme_or_port_is_no_host(host: object) -> None:
    """The port has its own setting."""
    with pytest.raises(ValueError, match=r"^$"):
        parse_host(host)


@pytest.mark.parametrize("host", ["a..b", "a." + "b" * 64, "999.1.1.1", "10.0.0.01"])
def test_no_resolver_is_given_a_host_that_it_cannot_take(host: str) -> None:
    """Python and httpx raise errors of other kinds for such names, which nothing expects."""
    with pytest.raises(ValueError, match=r"^$"):
        parse_host(host)
    with pytest.raises(ValueError, match=r"^$"):
        parse_base_url(f"http://{host}:80/")


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
    assert parse_secret("ü two words") == parse_secret(SecretStr("ü two words"))
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
        ("https://a?", "query"), ("https://a/training", "adds"),
        ("https://a/v1/training//", "adds"),
    ],
)  # fmt: skip
def test_what_is_no_base_url_is_refused(url: object, problem: str) -> None:
    """Credentials, query and fragment by their names; the path of the trainings with the reason."""
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
        ("redis+cluster://a,[::1]:7000", "redis+cluster://a,[::1]:7000"),
    ],
)
def test_a_redis_url_is_a_secret_with_a_mask(url: str, masked: str) -> None:
    """Every scheme; neither user, password nor query is shown."""
    secret = parse_redis_url(url)

    assert secret == SecretStr(url)
    assert mask_url(secret) == masked


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
    words = "|is empty|has .*|names .*|one host .*|a host or port in it .*|its database .*"
    with pytest.raises(ValueError, match=f"^({words})$") as caught:
        parse_redis_url(url)

    assert "cache" not in str(caught.value)
    assert caught.value.__cause__ is None


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
        ("X-A", "is not a list"), ({"X-A": 1}, "is not a list"), (["X-A", "x-a"], "twice"),
        ([""], "entry 1 is not"),
        (["X-A", "Authorization: Bearer hunter2"], "entry 2 is not the name of a header$"),
        ([7], "entry 1"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_header_names_is_refused(names: object, problem: str) -> None:
    """An entry is told by its place, since it might hold a credential."""
    with pytest.raises(ValueError, match=problem):
        parse_header_names(names)
