"""How the cost of a hit grows: with entries, connections, size of bodies, and credentials.

L1 is filled directly; one thing grows at a time, from a usual point.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench.load import LoadFailed, Run, run_wrk
from tests.bench.stands import Stand, gateway

Say = Callable[[str], None]
Curve = dict[int, Run]


@dataclass(frozen=True, slots=True)
class Point:
    """What is there: entries in all, with bodies of so many bytes, for so many credentials, and
    how many connections ask."""

    entries: int = 1_000
    body: int = 1_600
    credentials: int = 1
    connections: int = 64


_MANY: Final = 1_000
_TRIES: Final = 2
USUAL: Final = Point()
AXES: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "entries": ("entries in L1", (1_000, 10_000, 100_000, 1_000_000)),
    "connections": ("connections", (1, 8, 64, 512, 5_000)),
    "body": ("bytes of a body", (1_024, 4_096, 16_384, 65_536)),
    "credentials": ("credentials", (1, 10, 100, 1_000, 10_000)),
}


def curves(folder: Path, python: str, seconds: int, say: Say) -> dict[str, Curve]:
    """CPU of a hit along each axis."""
    found: dict[str, Curve] = {}
    for axis, (_, values) in AXES.items():
        found[axis] = {}
        for value in values:
            run = found[axis][value] = _measured(folder, python, point(axis, value), seconds)
            say(f"{value} {axis}: {run.cpu:.1f} µs of CPU a hit")
    return found


def point(axis: str, value: int) -> Point:
    """What is there when that axis has come so far, and nothing else has grown."""
    match axis:
        case "entries":
            return replace(USUAL, entries=value, body=256 if value > 100_000 else USUAL.body)
        case "connections":
            return replace(USUAL, connections=value)
        case "body":
            return replace(USUAL, body=value)
        case _:
            return replace(USUAL, entries=max(USUAL.entries, value), credentials=value)


def _measured(folder: Path, python: str, there: Point, seconds: int) -> Run:
    with _filled(folder, python, there) as stand:
        ids, tokens = there.entries // there.credentials, there.credentials
        # Until each caller is known; what comes once is no part of a hit, nor to accept thousands.
        for length in (1, seconds * (4 if there.connections > _MANY else 1)):
            run = _run(stand, [str(ids), str(tokens)], length, there.connections)
    return run


def _run(stand: Stand, arguments: list[str], length: int, connections: int) -> Run:
    """Once more where thousands came at once and the system turned some of them away."""
    for _ in range(_TRIES if connections > _MANY else 0):
        with contextlib.suppress(LoadFailed):
            return run_wrk(stand, "spread", arguments, length, connections)
    return run_wrk(stand, "spread", arguments, length, connections)


@contextlib.contextmanager
def _filled(folder: Path, python: str, there: Point) -> Iterator[Stand]:
    numbers = (there.entries, there.body, there.credentials)
    command = ["-m", "tests.bench.filled", *map(str, numbers)]
    settings = {"GATEWAY_L1__MAX_BYTES": "12GiB", "GATEWAY_FRESHNESS__LIFETIME": "10h"}
    with gateway(folder, 1, None, "filled", settings, python=python, command=command) as stand:
        yield stand
