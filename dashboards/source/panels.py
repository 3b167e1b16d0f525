"""The few kinds of panel that the dashboards are made of, and the frame around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.models import common, dashboard

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
Steps = Sequence[tuple[float | None, str]]
GOOD, FAIR, BAD, PLAIN = "green", "orange", "red", "text"
NEUTRAL: Steps = ((None, PLAIN),)
Panel = stat.Panel | timeseries.Panel
_HEIGHTS = {"number": 4, "plot": 8}
_COLOURS = {"limit": BAD, "budget": BAD}


@dataclass(frozen=True, slots=True)
class Query:
    """One line, or family of lines, of a panel; an empty legend shows the labels."""

    expression: str
    legend: str = ""
    exemplars: bool = False


def number(
    title: str,
    says: str,
    expression: str,
    unit: str = "short",
    *,
    steps: Steps = NEUTRAL,
    words: dict[str, str] | None = None,
    width: int = 3,
    legend: str = "",
    empty: str = "–",
) -> stat.Panel:
    """One figure of now; `steps` colour it from a value on, `words` stand for values."""
    panel = (
        stat.Panel()
        .title(title)
        .description(says)
        .datasource(SOURCE)
        .unit(unit)
        .no_value(empty)
        .height(_HEIGHTS["number"])
        .span(width)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .thresholds(_thresholds(steps))
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(Query(expression, legend), "A").instant())
    )
    if legend:
        panel.text_mode(common.BigValueTextMode.VALUE_AND_NAME)
    return panel.mappings([_worded(words)]) if words else panel


def plot(
    title: str,
    says: str,
    *queries: Query,
    unit: str = "short",
    width: int = 8,
    stacked: bool = False,
) -> timeseries.Panel:
    """Lines over time; a line named `limit` is dashed and red."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(says)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(_HEIGHTS["plot"])
        .span(width)
        .show_points(common.VisibilityMode.NEVER)
        .line_width(1)
        .fill_opacity(60 if stacked else 8)
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
    )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    for name, colour in _COLOURS.items():
        panel.override_by_name(name, _as_limit(colour))
    for ref, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_target(query, ref).range())
    return panel


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one question."""

    question: str
    panels: Sequence[Panel]


def board(
    title: str, uid: str, says: str, rows: Sequence[Row], *, since: str, other: tuple[str, str]
) -> dashboard.Dashboard:
    """The dashboard: rows in order, ids counted through, the variables that `queries` has."""
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(says)
        .tags(["gateway"])
        .time(since, "now")
        .refresh("30s")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(_link(*other))
    )
    for variable in _variables():
        made.with_variable(variable)
    number_of = 0
    for row in rows:
        number_of += 1
        made.with_row(builders.Row(row.question).id(number_of))
        for panel in row.panels:
            number_of += 1
            made.with_panel(panel.id(number_of))
    return made.build()


def _target(query: Query, ref: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).ref_id(ref).datasource(SOURCE)
    target = target.legend_format(query.legend) if query.legend else target
    return target.exemplar(True) if query.exemplars else target


def _thresholds(steps: Steps) -> builders.ThresholdsConfig:
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=colour) for value, colour in steps])
    )


def _worded(words: dict[str, str]) -> dashboard.ValueMap:
    options = {
        value: dashboard.ValueMappingResult(text=text, index=index)
        for index, (value, text) in enumerate(words.items())
    }
    return dashboard.ValueMap(options=options)


def _as_limit(colour: str) -> list[dashboard.DynamicConfigValue]:
    return [
        dashboard.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour}),
        dashboard.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}),
        dashboard.DynamicConfigValue("custom.fillOpacity", 0),
        dashboard.DynamicConfigValue("custom.stacking", {"mode": "none"}),
    ]


def _link(title: str, uid: str) -> builders.DashboardLink:
    return (
        builders.DashboardLink(title)
        .type(dashboard.DashboardLinkType.LINK)
        .url(f"/d/{uid}")
        .keep_time(True)
        .include_vars(True)
    )


def _variables() -> list[builders.DatasourceVariable | builders.QueryVariable]:
    source = builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [
        source,
        _labelled("namespace", "gateway_build_info"),
        _labelled("job", 'gateway_build_info{namespace=~"$namespace"}'),
        _labelled("pod", 'gateway_build_info{namespace=~"$namespace",job=~"$job"}'),
    ]


def _labelled(name: str, series: str) -> builders.QueryVariable:
    """Any value, and none at all: outside Kubernetes there is neither namespace nor pod."""
    return (
        builders.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query({"query": f"label_values({series}, {name})", "refId": name})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(text="All", value="$__all", selected=True))
    )
