"""A real Prometheus that scrapes gateways with the rules of dashboards/, and answers questions."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tests.support.servers import HOST, ROOT, Process, answers, free_port

RULES = sorted((ROOT / "dashboards").glob("*.rules.yml"))


class PrometheusServer(Process):
    """Scrapes the admin ports of gateways once a second, under a job's name of nobody's choice."""

    def __init__(self, folder: Path, admins: Sequence[str]) -> None:
        """Skips the test where there is no Prometheus."""
        binary = shutil.which("prometheus")
        if binary is None:
            pytest.skip("no Prometheus; type: sudo apt-get install prometheus")
        self._url = f"http://{HOST}:{free_port()}"
        self._client = httpx.Client(base_url=f"{self._url}/api/v1", trust_env=False, timeout=30)
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(_config(admins)))
        super().__init__(
            [
                *(
                    binary,
                    "--config.file",
                    str(config),
                    "--storage.tsdb.path",
                    str(folder / "tsdb"),
                ),
                *("--web.listen-address", urlsplit(self._url).netloc, "--log.level", "warn"),
            ],
            log=folder / "prometheus.log",
            ready=lambda: answers(f"{self._url}/-/ready"),
        )

    def __exit__(self, *error: object) -> None:
        self._client.close()
        super().__exit__(*error)

    def query(self, expression: str) -> list[float]:
        """The numbers that it gives now, NaN left out; raises where it is refused."""
        result = self._get("query", query=expression)["result"]
        values = [float(sample["value"][1]) for sample in result]
        return [value for value in values if not math.isnan(value)]

    def healthy_rules(self) -> int:
        """How many rules were evaluated, and without an error."""
        groups = self._get("rules")["groups"]
        return sum(rule["health"] == "ok" for group in groups for rule in group["rules"])

    def targets_down(self) -> list[str]:
        """What it says of each target that it cannot scrape."""
        active = self._get("targets")["activeTargets"]
        return [f"{each['scrapeUrl']}: {each['lastError']}" for each in active if each["lastError"]]

    def _get(self, what: str, **parameters: str) -> Any:
        answer = self._client.get(what, params=parameters)
        answer.raise_for_status()
        return answer.json()["data"]


def _config(admins: Sequence[str]) -> dict[str, object]:
    targets = [urlsplit(admin).netloc for admin in admins]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": list(map(str, RULES)),
        "scrape_configs": [{"job_name": "anything", "static_configs": [{"targets": targets}]}],
    }
