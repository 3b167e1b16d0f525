"""What a URL says of a Redis, and what is said of a URL that is none."""

from __future__ import annotations

import pytest

from gateway.core.redis_url import read_address


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://cache", {"host": "cache"}),
        ("redis://me:p%40w@[::1]:6380/2", {"host": "::1", "port": 6380, "db": 2}),
        ("redis://cache?db=3&client_name=gateway", {"db": 3, "client_name": "gateway"}),
        ("redis://me:p%40w@cache", {"username": "me", "password": "p@w"}),
        ("redis://cache?password=pw", {"password": "pw"}),
        ("unix:///run/redis.sock?db=1", {"path": "/run/redis.sock", "db": 1}),
        ("unix://:pw@/run/redis.sock", {"path": "/run/redis.sock", "password": "pw"}),
    ],
)
def test_one_host_or_one_path(url: str, options: dict[str, object]) -> None:
    """In the driver's words, without TLS and without sentinels."""
    address = read_address(url)

    assert options.items() <= address.options.items()
    assert address.tls is None
    assert address.watched is None


def test_tls_with_its_certificates() -> None:
    """They are no option of a connection: they are read once for all."""
    address = read_address("rediss://cache?ssl_ca_certs=/ca.pem&ssl_check_hostname=no&db=1")

    assert address.options == {"host": "cache", "port": 6379, "db": 1}
    assert address.tls == {"ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False}


def test_sentinels_and_the_master_that_they_know() -> None:
    """User, password and database are the master's; the sentinels have their own, or none."""
    address = read_address(
        "redis+sentinel://me:p%40w@one,two:26380,[::1]:26381/main/2?sentinel_password=hunter%202"
    )

    assert address.options == {"username": "me", "password": "p@w", "db": 2}
    assert address.tls is None
    assert address.watched is not None
    assert address.watched.sentinels == (("one", 26379), ("two", 26380), ("::1", 26381))
    assert address.watched.master == "main"
    assert address.watched.options == {"password": "hunter 2"}


def test_nodes_of_a_cluster() -> None:
    """Any of them will do to learn of the others; user and password are those of all."""
    address = read_address("redis+cluster://me:p%40w@one,two:7001,[::1]:7002?client_name=gateway")

    assert address.seeds == (("one", 6379), ("two", 7001), ("::1", 7002))
    assert address.options == {"username": "me", "password": "p@w", "client_name": "gateway"}
    assert address.watched is None


@pytest.mark.parametrize("where", ["redis+sentinel://one/main", "redis+cluster://one,two"])
@pytest.mark.parametrize(("value", "is_on"), [("true", True), ("no", False)])
def test_several_over_tls(where: str, value: str, is_on: bool) -> None:
    """By a parameter, since their schemes have no letter for it."""
    address = read_address(f"{where}?ssl={value}")

    assert (address.tls is not None) is is_on
    assert address.options == {}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "^$"),
        ("http://:hunter2@cache", "^$"),
        ("redis+cluster://:hunter2@a,b/1", "names a database"),
        ("redis+cluster://:hunter2@a,b?db=2", "names a database"),
        ("redis+cluster://:hunter2@a,", "host or port"),
        ("redis+cluster://:hunter2@a?sentinel_password=hunter2", "only with redis\\+sentinel://"),
        ("redis+cluster://:hunter2@a?ssl_ca_certs=/hunter2", "works only with TLS"),
        ("redis://:hunter2@cache:hunter2", "host or port"),
        ("redis://:hunter2@cache:99999", "host or port"),
        ("redis://:hunter2@[::1", "host or port"),
        ("redis://:hunter2@[hunter2]", "host or port"),
        ("redis://:hunter2@", "host or port"),
        ("redis://:hunter2@a,b", "host or port"),
        ("redis://:hunter2@cache#hunter2", "a fragment"),
        ("redis://:hunter2@cache/hunter2", "database is not a number"),
        ("redis://:p@hunter2/x@cache", "an @ in its path, query or fragment"),
        ("redis://:hunter2/w@cache", "an @ in its path, query or fragment"),
        ("redis://cache?password=hunter2@w", "an @ in its path, query or fragment"),
        ("unix://:hunter2@", "names no socket"),
        ("unix://cache/run/hunter2", "names no socket"),
        ("redis://:hunter2@cache?hunter2=1", "parameter 1 is none of db, "),
        ("redis://:hunter2@cache?db=1&socket_timeout=5", "parameter 2 is none of"),
        ("redis://:hunter2@cache?max_connections=1", "parameter 1 is none of"),
        ("redis://:hunter2@cache?db=hunter2", "database is not a number"),
        ("redis://:hunter2@cache?db=1&db=2", "twice"),
        ("rediss://:hunter2@cache?ssl_ca_certs=", "ssl_ca_certs is empty"),
        ("rediss://:hunter2@cache?ssl_check_hostname=hunter2", "has to be true or false"),
        ("rediss://:hunter2@cache?ssl_cert_reqs=hunter2", "required, optional or none"),
        ("redis://:hunter2@cache?ssl_ca_certs=/hunter2", "works only with TLS"),
        ("redis+sentinel://:hunter2@a/main?ssl_ca_certs=/hunter2", "works only with TLS"),
        ("redis://:hunter2@cache?sentinel_password=hunter2", "only with redis\\+sentinel://"),
        ("rediss://:hunter2@cache?ssl=true", "redis\\+sentinel:// or redis\\+cluster://"),
        ("redis+sentinel://:hunter2@a,b", "names no master"),
        ("redis+sentinel://:hunter2@a/main/hunter2", "database is not a number"),
        ("redis+sentinel://:hunter2@a/main/1/hunter2", "database is not a number"),
        ("redis+sentinel://:hunter2@a,/main", "host or port"),
        ("redis+sentinel://:hunter2@a,b:hunter2/main", "host or port"),
        ("redis+sentinel://:hunter2@a/main?ssl=hunter2", "ssl has to be true or false"),
    ],
)
def test_what_is_no_address_is_refused(url: str, says: str) -> None:
    """Saying what is wrong, and repeating nothing that may be a password."""
    with pytest.raises(ValueError, match=says) as refused:
        read_address(url)

    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(refused.value.__cause__)


def test_an_address_shows_no_password() -> None:
    """In whatever line it may be written."""
    url = "redis+sentinel://me:hunter2@a/main?ssl=1&ssl_password=hunter2&sentinel_password=hunter2"

    assert "hunter2" not in repr(read_address(url))
