from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.adapters.telemetry.observer import Telemetry
from gateway.core.cache.entry import Key
from gateway.core.vocabulary import NotStoredReason, Origin, Purpose, StoreVerdict
from tests.unit.adapters.telemetry.stand_ins import ManualClock

KEY = Key("p", "a")

VERBS: list[tuple[Callable[[Telemetry], None], str, dict[str, object]]] = [
    (
        lambda it: it.fetched(KEY, Purpose.MISS, 200, StoreVerdict.FIRST),
        "entry.fetched",
        {"purpose": Purpose.MISS, "status": 200, "verdict": StoreVerdict.FIRST},
    ),
    (
        lambda it: it.fetched(KEY, Purpose.MISS, 403, None),
        "entry.fetched",
        {"purpose": Purpose.MISS, "status": 403},
    ),
    (
        lambda it: it.fetched(KEY, Purpose.REFRESH, 200, NotStoredReason.OLDER_VERSION),
        "entry.not-stored",
        {"purpose": Purpose.REFRESH, "status": 200, "reason": NotStoredReason.OLDER_VERSION},
    ),
    (
        lambda it: it.fetch_failed(KEY, Purpose.MISS, "status 502"),
        "fetch.failed",
        {"purpose": Purpose.MISS, "why": "status 502"},
    ),
    (lambda it: it.outdated(KEY), "entry.outdated", {"by": Origin.REPLICA}),
    (lambda it: it.swept(KEY, "unchanged"), "entry.swept", {"found": "unchanged"}),
]


@pytest.mark.parametrize(("tell", "event", "fields"), VERBS)
def test_each_verb_is_remembered(
    tell: Callable[[Telemetry], None], event: str, fields: dict[str, object]
) -> None:
    """Under its training, with its partition and what is known; what is not is left out."""
    telemetry = Telemetry("1", ManualClock())

    tell(telemetry)

    (noted,) = telemetry.journal.of("a")
    assert (noted.event, noted.partition, noted.fields) == (event, "p", fields)
