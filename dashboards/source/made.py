"""All files that are made from here, as they should be: path from the root, and text."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.source.alerts import GROUPS
from dashboards.source.burns import BURNS
from dashboards.source.catalogue import catalogue
from dashboards.source.documents import pages
from dashboards.source.overview import overview
from dashboards.source.promises import promises
from dashboards.source.recordings import Rule, recordings

ROOT = Path(__file__).resolve().parents[2]
_HEAD = "# Made by `make dashboards` from dashboards/source; RUNBOOK.md says what to do.\n"


@cache
def made() -> dict[str, str]:
    """Every such file."""
    return {
        "dashboards/overview.json": _json(overview()),
        "dashboards/objectives.json": _json(promises()),
        "dashboards/objectives.rules.yml": _rules(
            # One group, so that each alert reads what was recorded just before.
            {"gateway-objectives": [*recordings(), *(alert.rule for alert in BURNS)]}
        ),
        "dashboards/alerts.rules.yml": _rules(
            {name: [alert.rule for alert in alerts] for name, alerts in GROUPS.items()}
        ),
        "docs/metrics.md": catalogue(),
        **pages(),
    }


def _json(dashboard: Dashboard) -> str:
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines stay readable."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)


def _rules(groups: dict[str, list[Rule]]) -> str:
    document = {"groups": [{"name": name, "rules": rules} for name, rules in groups.items()]}
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return _HEAD + body
