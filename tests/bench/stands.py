"""What is measured: each server as a process of its own, all in front of one simulated upstream.

Lives here: how nginx, Varnish, the floor and the gateway are started, and on which core.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import BinaryIO

from tests.support.servers import HOST, ROOT, Process, RedisServer, answers, free_port, listens

CONFIGS = Path(__file__).parent / "configs"
# The tuned nginx with `sendfile` and `tcp_nopush` off, and with both on: the better one counts.
NGINX = ("nginx", "nginx-sendfile")
TOKEN = "demo-token"
IDS = 1_000

# Servers share one core, whoever calls them has the other.
SERVER_CORE = "0"
CALLER_CORE = "1" if (os.cpu_count() or 1) > 1 else "0"


@dataclass(frozen=True, slots=True)
class Checkout:
    """Another state of this project, with an environment of its own."""

    root: Path
    python: str

    @classmethod
    def at(cls, root: Path, python: str) -> Checkout:
        """Run by the same interpreter of its own as `python` is of ours; where ours is not within
        this checkout, by that one. Raises LookupError where there is no such thing."""
        own = Path(python)
        theirs = root / own.relative_to(ROOT) if own.is_relative_to(ROOT) else own
        for needed in (root / "gateway" / "__main__.py", theirs):
            if not needed.exists():
                raise LookupError(f"{needed} is not there")
        return cls(root, str(theirs))


@dataclass(frozen=True, slots=True)
class Stand:
    """One server under load."""

    name: str
    port: int
    process: Process
    beside: Process | None = None  # shares the port
    admin: int | None = None  # the port of its admin plane, where it has one

    @property
    def pids(self) -> list[int]:
        """The processes that answer."""
        return [each.pid for each in (self.process, self.beside) if each is not None]


def move(pid: int, core: str) -> None:
    """Have a process run on that core from now on, with all its threads."""
    subprocess.run(
        ["taskset", "--all-tasks", "--cpu-list", "--pid", core, str(pid)],
        stdout=subprocess.DEVNULL,
        check=True,
    )


def missing() -> list[str]:
    """The programs that are not installed."""
    wanted = ("nginx", "varnishd", "wrk", "h2load", "taskset")
    return [program for program in wanted if shutil.which(program) is None]


@contextlib.contextmanager
def simulator(
    folder: Path, *, trainings: int = IDS, tags: str = "strong", is_patient: bool = False
) -> Iterator[tuple[int, Process]]:
    """The upstream, its limit off, with entity tags, so that all can answer 304; `is_patient`: on
    the callers' core, and behind them."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "simulate", "--port", str(port)]
    command += ["--limit", "0", "--trainings", str(trainings), "--etag", tags]
    process = _process(
        ["nice", "-n", "10", *command] if is_patient else command,
        folder,
        "simulator",
        port,
        core=CALLER_CORE if is_patient else None,
    )
    with process:
        yield port, process


@contextlib.contextmanager
def floor(folder: Path, python: str) -> Iterator[Stand]:
    """Fixed bytes."""
    port = free_port()
    command = [python, str(Path(__file__).parent / "floor.py"), str(port)]
    with _process(command, folder, "floor", port) as process:
        yield Stand("floor", port, process)


@contextlib.contextmanager
def nginx(
    folder: Path, upstream: int, name: str = "nginx", *, lifetime: str = "1h"
) -> Iterator[Stand]:
    """One of NGINX by configs/nginx.conf, `nginx-common` by configs/nginx-common.conf."""
    port, own = free_port(), folder / name
    own.mkdir()
    with tempfile.TemporaryDirectory(dir=_memory(), prefix="bench-nginx-") as memory:
        config = own / "nginx.conf"
        config.write_text(
            Template((CONFIGS / f"{_file_of(name)}.conf").read_text()).substitute(
                folder=own,
                lifetime=lifetime,
                sendfile="on" if name == "nginx-sendfile" else "off",
                memory=f"{memory}/cache",
                port=port,
                upstream=f"{HOST}:{upstream}",
                user="user root;" if os.geteuid() == 0 else "",
            )
        )
        command = ["nginx", "-c", str(config), "-e", str(own / "error.log")]
        with _process(command, folder, name, port) as process:
            yield Stand(name, port, process)


@contextlib.contextmanager
def varnish(folder: Path, upstream: int) -> Iterator[Stand]:
    """Varnish by configs/varnish.vcl, its bodies in memory."""
    port, own = free_port(), folder / "varnish"
    own.mkdir()
    vcl = own / "default.vcl"
    vcl.write_text(
        Template((CONFIGS / "varnish.vcl").read_text()).substitute(upstream_port=upstream)
    )
    command = ["varnishd", "-F", "-j", "none", "-n", str(own), "-f", str(vcl)]
    command += ["-a", f"{HOST}:{port}", "-s", "malloc,512m", "-p", "thread_pools=1"]
    with _process(command, folder, "varnish", port) as process:
        yield Stand("varnish", port, process)


@contextlib.contextmanager
def gateway(
    folder: Path,
    upstream: int,
    redis: RedisServer | None,
    name: str = "gateway",
    settings: Mapping[str, str] | None = None,
    *,
    python: str = sys.executable,
    command: Sequence[str] = ("-m", "gateway", "serve"),
    port: int | None = None,
    root: Path = ROOT,
) -> Iterator[Stand]:
    """The gateway of the checkout `root` with all that it does by default, and entries that stay
    fresh."""
    port, admin = port or free_port(), free_port()
    environment = {
        "PYTHONPATH": str(root),
        "GATEWAY_UPSTREAM__BASE_URL": f"http://{HOST}:{upstream}",
        "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
        "GATEWAY_SERVER__PORT": str(port),
        "GATEWAY_ADMIN__PORT": str(admin),
        "GATEWAY_FRESHNESS__LIFETIME": "1h",
        "GATEWAY_FRESHNESS__NEGATIVE_LIFETIME": "1h",
        **({} if redis is None else {"GATEWAY_REDIS__URL": redis.url}),
        **(settings or {}),
    }
    ready = f"http://{HOST}:{admin}/readyz"
    process = Process(
        _pinned([python, *command], SERVER_CORE),
        log=folder / f"{name}.log",
        ready=lambda: answers(ready),
        environment=environment,
        patience=180,
    )
    with process:
        yield Stand(name, port, process, admin=admin)


def start(python: str, port: int, log: BinaryIO) -> subprocess.Popen[bytes]:
    """A gateway by itself, with no settings but its ports, started and not waited for."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "GATEWAY_SERVER__PORT": str(port),
        "GATEWAY_ADMIN__PORT": str(free_port()),
    }
    command = _pinned([python, "-m", "gateway", "serve"], SERVER_CORE)
    return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def clients(folder: Path) -> dict[str, str]:
    """The settings of mode `clients`, its one caller with the usual key and an ample rate."""
    file = folder / "clients.toml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    file.write_text(
        f'[[tenants]]\nname = "bench"\nupstream_token = "{TOKEN}"\n\n[[clients]]\nname = "bench"\n'
        f'key_sha256 = "{digest}"\ntenant = "bench"\nrate_limit = "10000000/second"\n'
    )
    return {
        "GATEWAY_ACCESS__MODE": "clients",
        "GATEWAY_ACCESS__CLIENTS_FILE": str(file),
        "GATEWAY_REDIS__PREFIX": "clients",
    }


def _file_of(name: str) -> str:
    return "nginx" if name in NGINX else name


def _process(
    command: list[str], folder: Path, name: str, port: int, core: str | None = SERVER_CORE
) -> Process:
    return Process(
        _pinned(command, core),
        log=folder / f"{name}.log",
        ready=lambda: listens(port),
        environment={"PYTHONPATH": str(ROOT)},
    )


def _pinned(command: list[str], core: str | None) -> list[str]:
    return command if core is None else ["taskset", "-c", core, *command]


def _memory() -> str | None:
    """A folder that is no disk, where the machine has one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
