"""A public suite for HTTP caches, run against the real gateway: `make conformance SUITE=FOLDER`.

The folder is a checkout of http-tests/cache-tests, which is not ours and not kept here. Its
server and its client are programs for Node; so is the adapter between them and the gateway.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.conformance.verdicts import Results, Trial, has_passed, score, trials, why_not
from tests.support.servers import HOST, Process, answers, free_port, gateway, listens

ADAPTER = Path(__file__).with_name("adapter.mjs")
# Less is a step back from what docs/conformance.md explains.
FLOORS: Final = {"required": 145, "optimal": 75}
# What the suite's server reads of a request: its own fields, and those that its tests vary.
_FORWARDED: Final = (
    *("Req-Num", "Test-ID", "Test-Name", "Foo", "Bar", "Baz", "Other", "Abc"),
    "Accept-Language",
)
_SETTINGS: Final = {
    "GATEWAY_ACCESS__MODE": "open",
    "GATEWAY_UPSTREAM__TOKEN": "conformance",
    "GATEWAY_UPSTREAM__RATE_LIMIT": "unlimited",
    "GATEWAY_UPSTREAM__FORWARD_HEADERS": json.dumps(_FORWARDED),
    "GATEWAY_FRESHNESS__SOURCE": "origin",
    # Where the upstream says nothing, the suite wants nothing reused.
    "GATEWAY_FRESHNESS__LIFETIME": "1ms",
    "GATEWAY_FRESHNESS__NEGATIVE_LIFETIME": "1ms",
    "GATEWAY_FRESHNESS__STALE_WHILE_REVALIDATE": "0s",
    "GATEWAY_SERVER__WRITES": "forward",
    "GATEWAY_LOG__LEVEL": "warning",
}


def main(suite: Path, only: str) -> int:
    """Run all of it, or one test with all that passed over the wire; 1 below the floors."""
    with tempfile.TemporaryDirectory() as folder:
        printed = _run(suite, Path(folder), only)
    if only:
        sys.stdout.write(printed)
        return 0
    known = trials(json.loads(_suite_of(suite)))
    results: Results = json.loads(printed)
    return _report(known, results)


def _run(suite: Path, folder: Path, only: str) -> str:
    front, data, admin, back, server = (free_port() for _ in range(5))
    node = ["node", "--no-warnings"]
    suite_server = Process(
        [*node, str(suite / "test-engine/server/server.mjs")],
        log=folder / "server.log",
        ready=lambda: listens(server),
        environment=_npm(protocol="http", port=str(server), pidfile=str(folder / "pid")),
    )
    replica = gateway(
        "serve",
        log=folder / "gateway.log",
        ready=lambda: answers(f"http://{HOST}:{admin}/readyz"),
        settings={
            **_SETTINGS,
            "GATEWAY_SERVER__PORT": str(data),
            "GATEWAY_ADMIN__PORT": str(admin),
            "GATEWAY_UPSTREAM__BASE_URL": f"http://{HOST}:{back}",
        },
    )
    ports = [str(port) for port in (front, data, back, server)]
    adapter = Process(
        [*node, str(ADAPTER), *ports],
        log=folder / "adapter.log",
        ready=lambda: listens(front) and listens(back),
    )
    with suite_server, replica, adapter:
        client = subprocess.run(
            [*node, str(suite / "test-engine/cli.mjs")],
            env={"PATH": os.environ["PATH"], **_npm(base=f"http://{HOST}:{front}", id=only)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    sys.stderr.write(replica.output if only or client.returncode else "")
    return client.stdout


def _npm(**settings: str) -> dict[str, str]:
    """The suite is told as npm would tell it; what is empty there is read from the second."""
    return {
        f"npm_{source}_{name}": value
        for source in ("config", "package_config")
        for name, value in settings.items()
    }


def _suite_of(suite: Path) -> str:
    script = (
        f"import tests from {json.dumps(str(suite.resolve() / 'tests/index.mjs'))};"
        "console.log(JSON.stringify(tests))"
    )
    command = ["node", "--no-warnings", "--input-type=module", "-e", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _report(known: dict[str, Trial], results: Results) -> int:
    for kind in ("required", "optimal"):
        for trial in known.values():
            if trial.kind == kind and not has_passed(trial.name, known, results):
                why = why_not(trial.name, known, results)
                sys.stdout.write(f"{kind:9} {trial.name:55} {why}\n")
    scores = score(known, results)
    for kind, (passed, of) in scores.items():
        sys.stdout.write(f"{kind:9} {passed} of {of}\n")
    return int(any(scores[kind][0] < least for kind, least in FLOORS.items()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else ""))
