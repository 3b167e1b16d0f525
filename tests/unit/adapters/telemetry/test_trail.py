from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.adapters.telemetry.event_log import Trail
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import NotStoredReason, Origin, Purpose, StoreVerdict
from tests.unit.adapters.telemetry.stand_ins import ManualClock

KEY = Key("p", "a")

VERBS: list[tuple[Callable[[Trail], None], str, dict[str, object]]] = [
    (
        lambda trail: trail.fetched(KEY, Purpose.MISS, 200, StoreVerdict.FIRST),
        "entry.fetched",
        {"purpose": Purpose.MISS, "status": 200, "verdict": StoreVerdict.FIRST},
    ),
    (
        lambda trail: trail.fetched(KEY, Purpose.MISS, 403, None),
        "entry.fetched",
        {"purpose": Purpose.MISS, "status": 403},
    ),
    (
        lambda trail: trail.fetched(KEY, Purpose.REFRESH, 200, NotStoredReason.OLDER_VERSION),
        "entry.not-stored",
        {"purpose": Purpose.REFRESH, "status": 200, "reason": NotStoredReason.OLDER_VERSION},
    ),
    (
        lambda trail: trail.fetch_failed(KEY, Purpose.MISS, "status 502"),
        "fetch.failed",
        {"purpose": Purpose.MISS, "why": "status 502"},
    ),
    (lambda trail: trail.outdated(KEY), "entry.outdated", {"by": Origin.REPLICA}),
    (lambda trail: trail.swept(KEY, "unchanged"), "entry.swept", {"found": "unchanged"}),
]


@pytest.mark.parametrize(("tell", "event", "fields"), VERBS)
def test_each_verb_is_remembered(
    tell: Callable[[Trail], None], event: str, fields: dict[str, object]
) -> None:
    """Under its training, with its partition and what is known; what is not is left out."""
    trail = Trail(ManualClock())

    tell(trail)

    (noted,) = trail.journal.of("a")
    assert (noted.event, noted.partition, noted.fields) == (event, "p", fields)


def test_a_fault_is_not_the_callers() -> None:
    """Nothing is raised where nothing can be remembered."""
    trail = Trail(ManualClock())
    trail.journal._events = None  # type: ignore[assignment]

    trail.outdated(KEY)
