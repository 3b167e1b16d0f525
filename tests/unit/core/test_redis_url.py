"""What a URL says of a Redis, and what is said of a URL that is none."""

from __future__ import annotations

import pytest

from gateway.core.redis_url import read_address


@pytest.mark.parametrize(
    ("url", "for_driver"),
    [
        ("redis://cache", "redis://cache?"),
        ("redis://me:p%40w@[::1]:6380/2", "redis://me:p%40w@[::1]:6380/2?"),
        ("redis://cache?db=3&client_name=gateway", "redis://cache?db=3&client_name=gateway"),
        ("rediss://cache?ssl_ca_certs=/ca.pem", "rediss://cache?ssl_ca_certs=%2Fca.pem"),
        ("unix://:pw@/run/redis.sock?db=1", "unix://:pw@/run/redis.sock?db=1"),
        ("redis+sentinel://me:pw@a,b:2/main/3", "redis://me:pw@a/3?"),
        ("redis+sentinel://a,b/main?ssl=true", "rediss://a?"),
        ("redis+cluster://me:pw@a:1,b?ssl=true", "rediss://me:pw@a:1?"),
        ("redis+cluster://a,b?ssl=no", "redis://a?"),
    ],
)
def test_the_driver_gets_the_url_of_one_server(url: str, for_driver: str) -> None:
    """With the user, the database and the parameters that it knows."""
    assert read_address(url).url == for_driver


def test_sentinels_and_the_master_that_they_know() -> None:
    """The sentinels have their own user and password, or none."""
    address = read_address(
        "redis+sentinel://me:p%40w@one,two:26380,[::1]:26381/main/2?sentinel_password=hunter%202"
    )

    assert address.hosts == (("one", 26379), ("two", 26380), ("::1", 26381))
    assert (address.master, address.is_cluster) == ("main", False)
    assert address.sentinels == {"password": "hunter 2"}


def test_nodes_of_a_cluster() -> None:
    """Any of them will do to learn of the others."""
    address = read_address("redis+cluster://me:p%40w@one,two:7001,[::1]:7002?client_name=gateway")

    assert address.hosts == (("one", 6379), ("two", 7001), ("::1", 7002))
    assert (address.master, address.is_cluster) == ("", True)


def test_files_are_named() -> None:
    """Whether they can be read is judged with the other settings."""
    address = read_address("rediss://cache?ssl_ca_certs=/ca.pem&ssl_check_hostname=no")

    assert address.files == {"ssl_ca_certs": "/ca.pem"}


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
