"""A start on a busy machine: a healthy Redis is found, and used from the first request on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rounds.replica_starts import Round, start_rounds, warnings_of
from tests.support.servers import ROOT
from tests.system.commands import Gateway, address, get, simulator

# The modules that are there before the first request, and those that came with requests.
_IMPORTS = """
import asyncio, sys
from gateway.app import serve
from gateway.settings import load

async def get(url, path):
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fields = "Host: 127.0.0.1\\r\\nAuthorization: Bearer demo-token\\r\\n"
    writer.write(f"GET {path} HTTP/1.1\\r\\n{fields}Connection: close\\r\\n\\r\\n".encode())
    print(path, (await reader.read()).split(b" ")[1].decode())
    writer.close()

async def main(environment):
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    settings = load(None, environment)
    serving = asyncio.create_task(serve(settings, started=started.set_result, stop=stop))
    where = await started
    known = set(sys.modules)
    for path in ("/readyz", "/training/trn_000001", "/training/trn_000001"):
        await get(where.data, path)
    for path in ("/metrics", "/status", "/explain/trn_000001", "/openapi.json", "/"):
        await get(where.admin, path)
    print("imported", sorted(set(sys.modules) - known))
    stop.set()
    await serving

asyncio.run(main({
    "GATEWAY_UPSTREAM__BASE_URL": sys.argv[1],
    "GATEWAY_REDIS__URL": sys.argv[2],
    "GATEWAY_SERVER__PORT": "0",
    "GATEWAY_ADMIN__PORT": "0",
    "GATEWAY_LOG__LEVEL": "error",
}))
"""


@pytest.mark.timeout(900)
async def test_a_start_on_a_busy_machine_finds_its_redis(tmp_path: Path, redis_url: str) -> None:
    """It is never away, one call fills a cold id for three replicas, a fourth has it from Redis."""
    (sole,) = await start_rounds(tmp_path, redis_url, rounds=1)

    assert sole == Round(calls=1, tier="l2", away=0, late=sole.late)


def test_a_healthy_start_warns_of_nothing(tmp_path: Path, redis_url: str) -> None:
    """Where Redis has the time to answer."""
    settings = {"GATEWAY_REDIS__URL": redis_url, "GATEWAY_REDIS__TIMEOUT": "5s"}
    with simulator(tmp_path) as process:
        replica = Gateway(tmp_path, address(process), **settings)
        with replica.process:
            assert get(f"{replica.data}/training/trn_000001").status_code == 200

    assert warnings_of(replica) == []


def test_nothing_is_imported_once_the_sockets_listen(tmp_path: Path, redis_url: str) -> None:
    """An import holds the loop, and with it all callers, for a tenth of a second and more."""
    with simulator(tmp_path) as process:
        ran = subprocess.run(
            [sys.executable, "-c", _IMPORTS, address(process), redis_url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert ran.returncode == 0, ran.stderr
    *answers, imported = ran.stdout.splitlines()
    assert {answer.rpartition(" ")[2] for answer in answers} == {"200"}
    assert imported == "imported []"
