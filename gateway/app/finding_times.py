"""The findings of `health_findings`, since when each is so, and where there is more of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.adapters.telemetry.history import EVERY, History
from gateway.adapters.telemetry.metrics import GaugeReadings
from gateway.app.health_findings import GOOD, Finding, judge
from gateway.ports import Clock

# Seconds for which a finding may be absent and still be the same one: what fails now and then is
# one trouble.
_SAME: Final = 20.0

# Below the address of the documents, and below the admin plane, which serves them too.
_RUNBOOK: Final = "dashboards/RUNBOOK.md"

_Topic = tuple[str, str | None]


class Findings:
    """Judges now and every two seconds; a finding is the same as long as its section is, and whose
    it is. `docs_url` is where the documents are published, None where the gateway serves them."""

    def __init__(
        self,
        history: History,
        readings: Callable[[], GaugeReadings],
        clock: Clock,
        docs_url: str | None = None,
    ) -> None:
        self._history = history
        self._readings = readings
        self._clock = clock
        self._runbook = _RUNBOOK if docs_url is None else f"{docs_url}/{_RUNBOOK}"
        # When each was seen first, and last: wall clock for people, monotonic for the distance.
        self._seen: dict[_Topic, tuple[float, float]] = {}

    async def watch(self) -> None:
        """Keep judging until cancelled; its task is the caller's to own."""
        while True:
            self.now()
            await self._clock.sleep(EVERY)

    def now(self) -> list[Finding]:
        """What is worth saying, the worst first, each with when it began and where there is
        more; never empty."""
        found = judge(self._history.minute(), self._readings())
        moment = self._clock.monotonic()
        for topic in [each for each, (_, last) in self._seen.items() if moment - last > _SAME]:
            del self._seen[topic]
        return [self._since(self._linked(each), moment) for each in found]

    def _linked(self, finding: Finding) -> Finding:
        """With the address of its section, whose anchor is its name in small letters."""
        if finding.runbook is None:
            return finding
        return replace(finding, runbook_url=f"{self._runbook}#{finding.runbook.lower()}")

    def _since(self, finding: Finding, moment: float) -> Finding:
        if finding.level == GOOD:
            return finding
        topic = (finding.whose, finding.runbook)
        first, _ = self._seen.get(topic, (self._clock.now(), moment))
        self._seen[topic] = (first, moment)
        return replace(finding, since=round(first, 3))
