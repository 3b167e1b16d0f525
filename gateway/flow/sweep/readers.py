"""Chooses the callers with whose own tokens the list is read, in the mode `passthrough`.

The tokens are in `Callers` already. Here are only partitions and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.core.access.caller import DEFAULT_TENANT, Caller
from gateway.core.access.registry import Admitted
from gateway.flow.fill.credentials import Credentials
from gateway.ports import Clock


@dataclass(slots=True)
class _Reads:
    """The requests of a partition. `lately` weighs recent ones more. `at`: the time of the last one
    (monotonic)."""

    total: int = 0
    lately: float = 0.0
    at: float = 0.0


class Readers:
    """The partitions that are read most, at most `most`. Each has a token that the API has
    accepted, and was read in the last `pause_after` seconds."""

    def __init__(
        self,
        admitted: Callable[[], Iterable[Admitted]],
        credentials: Credentials,
        clock: Clock,
        *,
        most: int,
        pause_after: float,
    ) -> None:
        self._admitted = admitted
        self._credentials = credentials
        self._clock = clock
        self._most = most
        self._pause_after = pause_after
        self._reads: dict[str, _Reads] = {}
        self._chosen: dict[str, str] = {}  # partitions by the names of their sweeps

    def chosen(self) -> dict[str, Caller]:
        """The callers, by the names of their sweeps. A partition is replaced if another one is read
        twice as much."""
        now, callers = self._clock.monotonic(), self._count()
        reads = self._reads
        fit = [
            each
            for each in callers
            if self._credentials.has_accepted(each) and now - reads[each].at < self._pause_after
        ]
        chosen = set(self._chosen.values())

        def weight(partition: str) -> float:
            lately = reads[partition].lately
            return 2.0 * lately + 1.0 if partition in chosen else lately

        most = sorted(fit, key=weight, reverse=True)[: self._most]
        self._chosen = {self._name(at): each for at, each in enumerate(sorted(most))}
        return {name: callers[each] for name, each in self._chosen.items()}

    def reads(self, name: str) -> int:
        """How many requests the partition of this sweep has had."""
        counted = self._reads.get(self._chosen.get(name, ""))
        return 0 if counted is None else counted.total

    def _name(self, place: int) -> str:
        return DEFAULT_TENANT if place == 0 else f"{DEFAULT_TENANT}-{place + 1}"

    def _count(self) -> dict[str, Caller]:
        """Count the requests since the last call. Returns a caller of each partition."""
        totals: dict[str, int] = {}
        callers: dict[str, Caller] = {}
        for each in self._admitted():
            totals[each.partition] = totals.get(each.partition, 0) + each.reads
            callers[each.partition] = each.caller
        known, self._reads = self._reads, {}
        now = self._clock.monotonic()
        for partition, total in totals.items():
            before = known.get(partition) or _Reads()
            new = max(0, total - before.total)
            lately = 0.9 * before.lately + new
            self._reads[partition] = _Reads(total, lately, now if new else before.at)
        return callers
