"""The rules about objectives: how many events, how many bad ones, and the alerts on how fast what
may be bad is used up (multi-window, multi-burn-rate).
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.source.objectives import OBJECTIVES, WINDOWS, Objective
from dashboards.source.queries import DEPLOYMENT, unless_warming

Rule = dict[str, object]
EVENTS = "job:gateway_objective_events:increase"
BAD_EVENTS = "job:gateway_objective_bad:increase"
# Below these a window is no trend: three errors of a quiet night are nobody's business.
_FEWEST = 100
_FEWEST_BAD = 10


@dataclass(frozen=True, slots=True)
class Burn:
    """Alert where both windows burn at `factor` times what the objective allows."""

    factor: float
    long: str
    short: str


FAST = (Burn(14.4, "1h", "5m"), Burn(6, "6h", "30m"))
SLOW = (Burn(3, "1d", "2h"), Burn(1, "3d", "6h"))


def recordings() -> list[Rule]:
    """Events and bad events of each objective within each window."""
    return [
        {"record": f"{name}{window}", "expr": expression, "labels": {"objective": each.name}}
        for each in OBJECTIVES
        for window in WINDOWS
        for name, expression in (
            (EVENTS, each.measured.events(window, DEPLOYMENT)),
            (BAD_EVENTS, each.measured.bad_events(window, DEPLOYMENT)),
        )
    ]


def burns(objective: Objective, *pairs: Burn) -> str:
    """Whether what may be bad is used up too fast, within any of the pairs of windows."""
    return "\nor\n".join(f"({_burns(objective, pair)})" for pair in pairs)


def _burns(objective: Objective, pair: Burn) -> str:
    which = f'{{objective="{objective.name}"}}'
    bad, events = f"{BAD_EVENTS}{pair.long}{which}", f"{EVENTS}{pair.long}{which}"
    most = round(pair.factor * objective.allowed, 6)
    short = f"{BAD_EVENTS}{pair.short}{which} / {EVENTS}{pair.short}{which}"
    return (
        f"{bad} / {events} > {most:g}\n  and {short} > {most:g}\n"
        f"  and {bad} > {_FEWEST_BAD}\n  and {events} > {_FEWEST}\n"
        f"  {unless_warming(pair.short)}"
    )
