"""A long search for a broken promise in the replicas' protocol, and proof that it can find one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.flow.planted import PLANTS, Plant
from tests.unit.flow.protocol_machine import Replicas

LONG = settings(max_examples=5_000, stateful_step_count=50, suppress_health_check=list(HealthCheck))
# The first broken promise will do; its shortest form is not worth the time. Some take thousands
# of histories, more or fewer with each change of the protocol.
FINDING = settings(
    LONG, max_examples=20_000, phases=[Phase.generate], derandomize=True, database=None
)


def test_thousands_of_histories_break_no_promise() -> None:
    """Whatever happens in whatever order."""
    run_state_machine_as_test(Replicas, settings=LONG)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check of the protocol is one without which a promise is broken."""
    plant(monkeypatch)
    count = 0

    class Counted(Replicas):
        def __init__(self) -> None:
            nonlocal count
            count += 1
            super().__init__()

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Counted, settings=FINDING)
    print(f"{plant.__name__}: found after {count} histories")  # noqa: T201
