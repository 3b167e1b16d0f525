"""Modules are loaded before a port is open: loading one holds the event loop, and all callers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.servers import ROOT
from tests.system.commands import TOKEN, address, simulator

# Serves, sends the requests of a first minute, and prints the modules that were loaded meanwhile.
# Requests are written by hand, because a client would load modules too.
PROGRAM = """
import asyncio, sys
from gateway.app import serve
from gateway.settings import load

async def ask(url, path):
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    fields = f"Host: localhost\\r\\nAuthorization: Bearer {sys.argv[2]}\\r\\nConnection: close"
    writer.write(f"GET {path} HTTP/1.1\\r\\n{fields}\\r\\n\\r\\n".encode())
    answer = await reader.read()
    writer.close()
    assert b" 200 " in answer.splitlines()[0], answer

async def visit(addresses, stop):
    before = set(sys.modules)
    for _ in range(2):
        await ask(addresses.data, "/training/trn_000001")
    for path in ("/metrics", "/status", "/explain/trn_000001", "/"):
        await ask(addresses.admin, path)
    print("LOADED", *sorted(set(sys.modules) - before), file=sys.stderr)
    stop.set()

async def main():
    stop = asyncio.Event()
    tasks = []
    settings = load(None, {
        "GATEWAY_SERVER__PORT": "0",
        "GATEWAY_ADMIN__PORT": "0",
        "GATEWAY_UPSTREAM__BASE_URL": sys.argv[1],
    })
    def started(addresses):
        tasks.append(asyncio.create_task(visit(addresses, stop)))
    await serve(settings, started=started, stop=stop)
    await tasks[0]

asyncio.run(main())
"""


def test_no_module_is_loaded_for_the_first_requests(tmp_path: Path) -> None:
    """Neither for a miss, whose call to the API is the first, nor for a hit or an operator."""
    with simulator(tmp_path) as upstream:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, address(upstream), TOKEN],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )

    (line,) = [line for line in done.stderr.splitlines() if line.startswith("LOADED")]
    assert line == "LOADED"
