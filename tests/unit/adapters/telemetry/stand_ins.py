"""What telemetry is given in its tests: a clock, a log and a sink that do as they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.telemetry.metrics import GaugeReadings, Metrics
from gateway.adapters.telemetry.observer import Telemetry


class ManualClock:
    """Time moves by hand; each sleep ends as late as `lates` says, and after them is cancelled."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self.offset = 0.0
        self.lates: list[float] = []

    def now(self) -> float:
        """The time by hand."""
        return self.time

    def monotonic(self) -> float:
        """The same."""
        return self.time

    def jitter(self) -> float:
        """No chance here."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Move on, at once."""
        if not self.lates:
            raise asyncio.CancelledError
        self.time += seconds + self.lates.pop(0)


class ListLog:
    """Keeps what is logged, as (level, event, fields)."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, dict[str, object]]] = []

    def log(self, level: int, event: str, **fields: object) -> None:
        """Keep it."""
        self.lines.append((level, event, fields))

    @property
    def events(self) -> list[str]:
        """The events' names."""
        return [event for _, event, _ in self.lines]


class BrokenLog:
    """Fails at every line."""

    def log(self, level: int, event: str, **fields: object) -> None:
        """Fail as a closed standard output does."""
        raise BrokenPipeError(event)


class ListSink:
    """Keeps the bytes written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, line: bytes, /) -> None:
        """Keep them."""
        self.written.append(line)

    @property
    def text(self) -> str:
        """All of it."""
        return b"".join(self.written).decode()

    @property
    def records(self) -> list[dict[str, object]]:
        """The lines as JSON objects."""
        return [json.loads(line) for line in self.text.split("\n") if line]


class BrokenSink:
    """Fails at every line."""

    def write(self, line: bytes, /) -> None:
        """Fail as a closed pipe does."""
        raise BrokenPipeError


NOTHING = GaugeReadings(ready=True, draining=False, l1_entries=0, l1_bytes=0)


def metrics_of(
    telemetry: Telemetry, readings: Callable[[], GaugeReadings] = lambda: NOTHING
) -> Metrics:
    """What answers scrapes of these counts and readings."""
    return Metrics(telemetry.counters, telemetry.events, "1.2.3", readings)


def samples(
    telemetry: Telemetry, readings: Callable[[], GaugeReadings] = lambda: NOTHING
) -> dict[str, float]:
    """A scrape as `name{label="value"}` -> number, labels in alphabetical order."""
    text = b"".join(metrics_of(telemetry, readings).scrape()[0]).decode()
    return {
        sample.name + _braces(sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _braces(labels: dict[str, str]) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{inner}}}" if inner else ""
