"""The second dashboard: how much of what was promised is left, and how fast it goes."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.source.objectives import OBJECTIVES, Objective
from dashboards.source.panels import BAD, FAIR, GOOD, Panel, Query, Row, board, number, plot
from dashboards.source.queries import DEPLOYMENT, FILTER
from dashboards.source.recordings import BAD_EVENTS, EVENTS

UID = "gateway-objectives"
TITLE = "Training Gateway: objectives"
_RECORDED = 'namespace=~"$namespace",job=~"$job"'
_SHOWN = (("5m", "5 m"), ("1h", "1 h"), ("6h", "6 h"), ("3d", "3 d"))


def promises() -> dashboard.Dashboard:
    """A row for each objective."""
    rows = [Row(_question(each), _panels(each)) for each in OBJECTIVES]
    says = (
        "Burn rate 1 uses up what may be bad in exactly the objective's time; the alerts look at "
        "14.4 and 6 (critical), 3 and 1 (warning). dashboards/source/objectives.py has the "
        "objectives."
    )
    return board(TITLE, UID, says, rows, since="now-7d", other=("Overview", "gateway-overview"))


def _question(objective: Objective) -> str:
    return f"{objective.target * 100:g} % of {objective.says}"


def _panels(objective: Objective) -> list[Panel]:
    return [
        number(
            "Kept",
            "The share of good events in the time shown.",
            f"1 - ({_ratio_shown(objective)})",
            "percentunit",
            steps=((None, BAD), (objective.target, GOOD)),
            width=4,
        ),
        number(
            "Left of what may be bad",
            "1: nothing was; 0: all that was allowed; below: the promise is broken.",
            f"1 - ({_ratio_shown(objective)}) / {objective.allowed:g}",
            "percentunit",
            steps=((None, BAD), (0, FAIR), (0.5, GOOD)),
            width=4,
        ),
        plot(
            "Burn rate",
            "How many times faster than allowed, over each of the windows.",
            *(Query(_burn(objective, window), name) for window, name in _SHOWN),
            width=16,
        ),
    ]


def _ratio_shown(objective: Objective) -> str:
    """Over the range of the dashboard, from the series themselves."""
    bad = objective.measured.bad_events("$__range", DEPLOYMENT, FILTER)
    return f"sum({bad}) / sum({objective.measured.events('$__range', DEPLOYMENT, FILTER)})"


def _burn(objective: Objective, window: str) -> str:
    """From the recordings, which know no pods."""
    which = f'{{{_RECORDED},objective="{objective.name}"}}'
    bad, events = f"{BAD_EVENTS}{window}{which}", f"{EVENTS}{window}{which}"
    return f"max({bad} / ({events} > 0)) / {objective.allowed:g}"
