"""Random histories of the model of marks, and the shortest form of one that fails."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from tests.model.marks.records import PERIOD
from tests.model.marks.truth import Broken
from tests.model.marks.world import FAILOVERS, RECORDS, Step, World

FAULTS = (
    *("write", "page", "edit", "down", "refuse", "cut", "lose_notice", "lose", "flush"),
    *("fail_over", "stop", "clock", "restart"),
)
OPERATIONS = {"ask", "order", "write", "page", "beat"}
USUAL = (
    *("ask", "ask", "ask", "ask", "order", "order", "beat", "beat"),
    *("hear", "go", "go", "go", "wait", "lapse", "probe", "steady"),
)
WAITS = (1, 5, 11, 21, 30, 60, int(PERIOD * 10) + 11)


def make(seed: str) -> Iterator[Step]:
    """A history: a few kinds of faults; most operations soon end, some are left in flight."""
    chance = random.Random(seed)
    faults = [each for each in FAULTS if chance.random() < 0.3] or ["edit"]
    if chance.random() < 0.7:
        yield from _probe()
    if "page" in faults:
        yield from (Step("page", 0, 0, 0), Step("go", -1, 40))
    for _ in range(chance.randint(8, 30)):
        name = chance.choice(faults) if chance.random() < 0.3 else chance.choice(USUAL)
        if name == "probe":
            yield from _probe()
            continue
        yield _step(name, chance)
        if name in OPERATIONS and chance.random() < 0.6:
            yield Step("go", -1, chance.choice((2, 4, 8, 12, 30)))
        if name in {"order", "write"} and chance.random() < 0.7:
            yield from _after_order(chance, "lose_notice" in faults)
        if name == "cut" and chance.random() < 0.5:
            yield from _probe()
    if chance.random() < 0.5:
        yield from (Step("cut", each, 1) for each in range(3))
        yield from _probe()
        yield from (Step("cut", each, 0) for each in range(3))
    yield Step("down", chance.randrange(2))
    yield from _probe()
    if chance.random() < 0.2:
        yield Step("calm_down")


def _after_order(chance: random.Random, is_lossy: bool) -> Iterator[Step]:
    """Most replicas hear of it, and it is answered; then all are asked."""
    for replica in range(3):
        if is_lossy and chance.random() < 0.4:
            yield Step("lose_notice", replica)
        elif chance.random() < 0.9:
            yield Step("hear", replica, 3)
    yield Step("go", -1, 5)
    if chance.random() < 0.7:
        yield from _probe()


def _probe() -> Iterator[Step]:
    """Each replica is asked for the two that are asked for most."""
    for replica in range(3):
        for key in (0, 2):
            yield Step("ask", replica, key)
            yield Step("go", -1, 30)


def _step(name: str, chance: random.Random) -> Step:
    replica, training = chance.randrange(3), chance.choice((0, 0, 0, 1))
    numbers = {
        "ask": (replica, chance.choice((0, 0, 0, 0, 2, 2, 1, 3))),
        "order": (replica, chance.choice((0, 0, 0, 0, 1, 2, 3, 4)), chance.randrange(4)),
        "write": (replica, training),
        "page": (replica, chance.choice((0, 0, 1)), chance.choice((0, 0, 1, 5))),
        "go": (chance.randrange(6), chance.choice((1, 1, 2, 4, 10, 30))),
        "hear": (replica, chance.choice((1, 1, 3))),
        "wait": (chance.choice(WAITS),),
        "edit": (training, chance.choice((0, 0, 0, 1, 2, 3, 3))),
        "steady": (chance.choice((replica, 9)), chance.choice((21, 60))),
        "down": (chance.choice((1, 0)),),
        "refuse": (chance.choice((0, 0, 1)), chance.choice((1, 0))),
        "cut": (replica, chance.choice((1, 0))),
        "lose": (chance.choice((4, 4, 6, chance.randrange(len(RECORDS)))),),
        "lapse": (replica, chance.choice((-10, -1, 1))),
        "fail_over": (chance.choice((0, 0, chance.randrange(len(FAILOVERS)))),),
        "stop": (replica, chance.choice((1, 10, 50, int(PERIOD * 10) + 20))),
        "clock": (chance.choice((-3000, -300, -50, -10, 10, 50, 300)),),
    }
    return Step(name, *numbers.get(name, (replica,)))


def failure(steps: Sequence[Step]) -> list[str] | None:
    """What happened until a promise was broken, or None if the history keeps all promises."""
    world = World()
    try:
        for step in steps:
            world.take(step)
    except Broken as broken:
        return [*_tale(world), f"broken: {broken}"]
    return None


def _tale(world: World) -> list[str]:
    """Numbered steps, and the answers; of what came after all faults the last three lines."""
    end = next((n for n, (_, what) in enumerate(world.told) if _is_end(what)), len(world.told))
    lines, number = [], 0
    for moment, what in [*world.told[: end + 1], *world.told[end + 1 :][-3:]]:
        number += isinstance(what, Step)
        mark = f"{number:3}." if isinstance(what, Step) else "    "
        lines.append(f"{moment:8.2f} s {mark} {what}")
    return lines


def _is_end(what: object) -> bool:
    return isinstance(what, Step) and what.name == "calm_down"


def written(steps: Sequence[Step]) -> str:
    """A history on one line, without the zeros at the end of a step."""
    return ", ".join(re.sub("( 0)+$", "", " ".join(map(str, step))) for step in steps)


def read(line: str) -> list[Step]:
    """The history that was written so."""
    words = [each.split() for each in line.split(", ")]
    return [Step(name, *map(int, numbers)) for name, *numbers in words]


def shortest(steps: Sequence[Step]) -> list[Step]:
    """Leave out steps as long as the history still fails."""
    kept, size = list(steps), len(steps) // 2
    while size:
        start = 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if failure(fewer):
                kept = fewer
            else:
                start += size
        size //= 2
    return kept
