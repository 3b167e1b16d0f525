"""How a Redis is reached: over TLS and through a file, by requests and by subscribers alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from gateway.adapters.redis.connect.connection import Connection
from gateway.app.run import check
from gateway.core.vocabulary import RedisOperation
from gateway.settings import load
from tests.doubles.clocks import RealClock
from tests.doubles.hearer import PURGE, hearers
from tests.doubles.observer import RecordingObserver
from tests.support.redis_setups import TlsRedis
from tests.support.servers import HOST, RedisServer, free_port


@dataclass(frozen=True, slots=True)
class Secured:
    """A Redis over TLS, and the file of the authority that vouches for it as `localhost`."""

    server: TlsRedis
    authority: Path
    stranger: Path

    def url(self, host: str = "localhost", **parameters: object) -> str:
        """Its address under that name."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"rediss://{host}:{self.server.port}?{query}"


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    """Certificates made for this test alone."""
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = tmp_path / "redis.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    with TlsRedis(tmp_path, certificate) as server:
        yield Secured(server, tmp_path / "ca.pem", tmp_path / "stranger.pem")


async def reason(url: str) -> str:
    """Why that Redis cannot be reached, as `gateway check` says it."""
    variables = {
        "GATEWAY_SERVER__PORT": "0",
        "GATEWAY_ADMIN__PORT": "0",
        "GATEWAY_UPSTREAM__BASE_URL": f"http://{HOST}:{free_port()}",
        "GATEWAY_REDIS__URL": url,
        "GATEWAY_REDIS__TIMEOUT": "5s",
    }
    (said,) = (each for each in await check(load(None, variables)) if "upstream" not in each)
    assert said.startswith("redis.url: ")
    return said


async def hear_of_each_other(url: str) -> None:
    """Two replicas there, one of which tells the other something."""
    async with hearers(url, "a", "b", timeout=5.0, heartbeat=1.0) as (a, b):
        confirmed = await a.bus.confirm(PURGE, 10.0)

        assert (confirmed.known, confirmed.confirmed) == (2, 2)
        assert b.applied == [PURGE]


async def test_replicas_on_a_redis_over_tls(secured: Secured) -> None:
    """Both ways of connecting, with the authority's file in the URL."""
    await hear_of_each_other(secured.url(ssl_ca_certs=secured.authority))


async def test_replicas_on_a_redis_behind_a_file(tmp_path: Path) -> None:
    """Both ways of connecting, without a port."""
    path = tmp_path / "redis.sock"
    with RedisServer(tmp_path, "--unixsocket", str(path)):
        await hear_of_each_other(f"unix://{path}?db=1")


async def test_a_stranger_is_refused(secured: Secured) -> None:
    """An authority that does not vouch for it, and what was in vain is said."""
    said = await reason(secured.url(ssl_ca_certs=secured.stranger))

    assert "certificate verify failed" in said


async def test_another_name_is_refused(secured: Secured) -> None:
    """The certificate is somebody's, and not of the host that was asked for."""
    said = await reason(secured.url(HOST, ssl_ca_certs=secured.authority))

    assert f"certificate is not valid for '{HOST}'" in said


async def test_another_name_may_be_allowed(secured: Secured) -> None:
    """By whoever writes so."""
    url = secured.url(HOST, ssl_ca_certs=secured.authority, ssl_check_hostname="false")
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=5.0)

    await connection.reach()
    await connection.close()


async def test_plain_words_to_a_tls_port_are_no_redis(secured: Secured) -> None:
    """The scheme that has one letter too few is refused, not answered."""
    assert "ConnectionError" in await reason(f"redis://localhost:{secured.server.port}")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("ssl_ca_certs", None, "certificates cannot be used: No such file or directory"),
        ("ssl_ca_certs", "hunter2", "certificates cannot be used"),
        ("ssl_certfile", "hunter2", "certificates cannot be used"),
    ],
)
def test_a_bad_file_is_told_at_the_start(
    tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    """Before anybody connects."""
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)

    with pytest.raises(ValueError, match=says) as refused:
        Connection(f"rediss://:hunter2@cache?{name}={path}", RealClock(), RecordingObserver())

    assert "hunter2" not in str(refused.value)


async def test_a_connection_over_tls_reads_no_certificate_again(
    secured: Secured, tmp_path: Path
) -> None:
    """They were read at the start: the file may be gone, and no caller waits for a disk."""
    url = secured.url(ssl_ca_certs=secured.authority)
    connection = Connection(url, RealClock(), RecordingObserver(), timeout=5.0)
    secured.authority.unlink()

    assert await connection.check()
    assert await connection.execute(RedisOperation.PING, lambda client: client.ping())
    await connection.close()
