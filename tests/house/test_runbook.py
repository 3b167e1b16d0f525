"""The runbook has a section for each alert, and names nothing that is not there."""

from __future__ import annotations

import re

import pytest

from dashboards.source.alert import Alert
from dashboards.source.alerts import ALERTS
from dashboards.source.overview import overview
from gateway.core.vocabulary import Detail, FailureReason, InvalidReason, Problem
from gateway.settings.schema import KINDS
from tests.house.promql import known_series, selected
from tests.house.sources import ROOT, sources

RUNBOOK = (ROOT / "dashboards/RUNBOOK.md").read_text()
SECTIONS = dict(re.findall(r"^## (\S[^\n]*)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
PROMQL = re.findall(r"^```promql\n(.*?)^```$", RUNBOOK, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```$", "", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
CODE = re.findall(r"`([^`\n]+)`", PROSE)
IN_STATUS = {"upstream.circuit"}
FIELDS = {"hit", "type", "detail"}


def test_each_alert_has_its_section_and_no_other_is_there() -> None:
    """In the order of the rules, so that one finds them."""
    names = [name for name in SECTIONS if name.startswith("Gateway")]

    assert sorted(names) == sorted(alert.name for alert in ALERTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_a_section_says_how_urgent_where_to_look_and_what_to_do(alert: Alert) -> None:
    """It begins with the severity of the rule, and has first looks, causes and remedies."""
    section = SECTIONS[alert.name].strip()

    assert section.startswith(f"{alert.severity} · ")
    assert "**Look" in section
    assert "**Causes" in section


@pytest.mark.parametrize(
    "alert", [each for each in ALERTS if each.severity == "critical"], ids=lambda alert: alert.name
)
def test_a_critical_section_has_commands_from_the_first_look_to_the_remedy(alert: Alert) -> None:
    """Somebody just woken types them, and has nothing to make up."""
    look, _, remedy = SECTIONS[alert.name].partition("**Causes")

    assert re.search(r"^```sh$", look, re.M)
    assert re.search(r"^```(sh|kubectl)$", remedy, re.M)


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK))))
def test_links_lead_to_sections(anchor: str) -> None:
    """Headings are linked as GitHub writes their anchors."""
    assert anchor in {name.lower().replace(" ", "-") for name in SECTIONS}


@pytest.mark.parametrize("query", PROMQL)
def test_queries_ask_for_what_is_there(query: str) -> None:
    """Each is PromQL, and selects metrics that the gateway exports."""
    assert selected(query) - known_series() == set()


def test_panels_named_are_on_the_overview() -> None:
    """What stands in italics is a panel's title, or the dashboard itself."""
    titles = {str(panel.title) for panel in overview().panels or []} | {"overview"}

    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", " ".join(PROSE.split())))
    assert named - titles == set()
    assert len(named) > 10


def test_settings_and_events_named_are_there() -> None:
    """Whatever has the form of a setting or of an event of the log is one."""
    settings = set(KINDS)
    logged = {text for each in sources() for text in re.findall(r'"([a-z]+\.[a-z-]+)"', each.text)}
    named = {text.partition(" =")[0] for text in CODE}
    dotted = {text for text in named if re.fullmatch(r"[a-z0-9]+\.[a-z_-]+", text)}

    assert dotted - settings - logged - IN_STATUS == set()
    assert len(dotted & settings) > 10
    assert len(dotted & logged) > 5


def test_words_of_answers_named_are_ours() -> None:
    """Reasons, problems and details keep their words."""
    tables = "\n".join(line for line in PROSE.splitlines() if line.startswith("| `"))
    words = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", tables))
    known = set(map(str, (*FailureReason, *Problem, *Detail, *InvalidReason)))

    assert words - known - FIELDS == set()
    assert len(words) > 10


def test_the_table_of_failures_has_each_reason() -> None:
    """The query above it shows any of them."""
    rows = re.findall(r"^\| ((?:`[a-z0-9-]+` ?)+)\|", SECTIONS["GatewayCircuitOpen"], re.MULTILINE)

    told = [word for row in rows for word in re.findall(r"`([^`]+)`", row)]
    assert sorted(told) == sorted(FailureReason)


def test_what_to_do_about_a_large_body_names_each_setting_that_limits_one() -> None:
    """A training and a page of the list have a limit each."""
    limits = {name for name in KINDS if re.fullmatch(r"upstream\.max_(\w+_)?body", name)}

    assert {name for name in limits if f"`{name}`" in SECTIONS["GatewayPayloadsRejected"]} == limits
    assert len(limits) > 1


def test_calls_denied_are_explained_by_the_limit_that_a_429_lowered() -> None:
    """The two sections about such calls ask for the limit of this moment. Where the calls are
    compared with the configured limit, the lowered one would mislead."""
    asking = {name for name, text in SECTIONS.items() if "gateway_budget_limit)" in text}

    assert asking == {"GatewayCallersTurnedAway", "GatewayBudgetShort"}
