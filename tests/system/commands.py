"""The commands as processes of their own, on free ports, and what they printed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.support.servers import Process, answers, free_port, gateway

TOKEN = "demo-token"
CALLER = {"Authorization": f"Bearer {TOKEN}"}


def simulator(folder: Path, *options: str, port: int | None = None) -> Process:
    """`gateway simulate` with these options, answering at `url_in` its output."""
    chosen = port or free_port()
    return gateway(
        *("simulate", "--port", str(chosen), *options),
        log=folder / f"simulator-{chosen}.log",
        ready=lambda: answers(f"http://127.0.0.1:{chosen}/_control/stats"),
    )


class Gateway:
    """`gateway serve` on two free ports, or on a `port` that is given and a free one, with these
    further `GATEWAY_…` variables."""

    def __init__(
        self, folder: Path, upstream: str, port: int | None = None, /, **settings: str
    ) -> None:
        port, admin = port or free_port(), free_port()
        self.data = f"http://127.0.0.1:{port}"
        self.admin = f"http://127.0.0.1:{admin}"
        self.settings: Mapping[str, str] = {
            "GATEWAY_SERVER__PORT": str(port),
            "GATEWAY_ADMIN__PORT": str(admin),
            "GATEWAY_UPSTREAM__BASE_URL": upstream,
            # It makes calls of its own with the tokens of callers, and most tests count theirs.
            "GATEWAY_SWEEP__PARTITIONS": "0",
            **settings,
        }
        self.process = gateway(
            "serve",
            log=folder / f"gateway-{admin}.log",
            ready=lambda: answers(f"{self.admin}/readyz"),
            settings=self.settings,
        )


def demo(folder: Path, *options: str) -> Process:
    """`gateway demo` on any ports, unless told others; ready once it has printed all addresses."""
    log = folder / "demo.log"
    free = ("--port", "0", "--admin-port", "0", "--simulator-port", "0")
    return gateway(
        *("demo", *free, *options),
        log=log,
        ready=lambda: log.exists() and "Ctrl-C ends the demo" in log.read_text(),
    )


def printed(output: str, name: str) -> str:
    """The address behind a name in the demo's greeting."""
    match = re.search(rf"^ +{name} +(\S+)$", output, re.MULTILINE)
    assert match, output
    return match[1]


def curl_line(output: str) -> str:
    """The line with a curl command to try first. Without what shows only a part of its output."""
    lines = [line.strip() for line in output.splitlines() if line.endswith("grep -i cache-status")]
    assert len(lines) == 1, output
    return lines[0].partition(" | ")[0]


def shell(command: str) -> str:
    """What a shell command prints; raises where it fails."""
    return subprocess.run(
        ["sh", "-ec", command], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def cache_status(head: str) -> str:
    """The Cache-Status of an answer as curl prints it."""
    return next(
        line.partition(": ")[2]
        for line in head.splitlines()
        if line.lower().startswith("cache-status:")
    )


def port_of(url: str) -> int:
    """The port of a base URL."""
    return int(re.split(r"[:/]", url)[4])


def address(process: Process) -> str:
    """The one that a simulator printed."""
    return process.output.split()[1]


def get(url: str) -> httpx.Response:
    """What a caller with the demo's token is answered."""
    return httpx.get(url, headers=CALLER, trust_env=False, timeout=30)


def run(*arguments: str, folder: Path, **settings: str) -> tuple[int, str]:
    """The exit code and all that a command that ends by itself prints."""
    process = gateway(*arguments, log=folder / "run.log", ready=lambda: True, settings=settings)
    return process.start().wait(60), process.output
