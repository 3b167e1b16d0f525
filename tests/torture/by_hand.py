"""What a held target prints ahead of a check's commands, so that they can be pasted into bash.

The words themselves are by_hand.sh; which of them shows a failure is the check's business.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.torture.stand import ALICE, Stand

_WORDS = Path(__file__).with_suffix(".sh")


def prelude(stand: Stand) -> str:
    """Bash: $URL (of a second node $URL2), $UPSTREAM, $NODE (the first one's process), `purge`
    (of trn_000001, for Alice), `stated` (its bound, once in force) and those of by_hand.sh."""
    urls = [
        f"URL{number if number > 1 else ''}={node.url}"
        for number, node in enumerate(stand.nodes, start=1)
    ]
    given = [*urls, f"UPSTREAM={stand.upstream_url}", f"NODE={stand.nodes[0].process.pid}"]
    return "\n".join(
        [" ".join(given), _purge(stand), _stated(stand), f". {shlex.quote(str(_WORDS))}"]
    )


def _purge(stand: Stand) -> str:
    purge = stand.nodes[0].purge(id="trn_000001", token=ALICE)
    if purge is None:
        return "purge() { echo 'it knows no purge'; }"
    fields = [word for pair in purge.headers.items() for word in ("-H", ": ".join(pair))]
    data = ["-d", purge.body] if purge.body else []
    show = ["-s", "-o", "/dev/null", "-w", r"purge: %{http_code}\n"]
    command = ["curl", *show, "-X", purge.method, *fields, *data, purge.url]
    return f"purge() {{ {shlex.join(command)}; }}"


def _stated(stand: Stand) -> str:
    stated = stand.nodes[0].stated
    if stated is None:
        return "stated() { echo 'it states none'; }"
    patterns = [f'"{_last(path)}": ?"{value}"' for path, value in stated.once.items()]
    patterns.append(f'"{_last(stated.seconds)}": ?[0-9.]+')
    found = " && ".join(f'grep -Eo {shlex.quote(each)} <<<"$said"' for each in patterns)
    return f"stated() {{ local said=$(curl -s {shlex.quote(stated.url)}); {found}; }}"


def _last(path: str) -> str:
    return path.rpartition(".")[2]
