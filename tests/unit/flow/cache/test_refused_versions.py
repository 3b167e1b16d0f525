from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.cache.entry import Floor, Key
from gateway.flow.cache import local_versions
from gateway.flow.cache.local_versions import RefusedVersions
from gateway.ports import Held
from tests.doubles.clock import FakeClock
from tests.doubles.stored import entry_of, held_of, version

KEY = Key("p1", "trn_1")
FLOOR = Floor("epoch", 1, version(3), "", 1000.0)


@pytest.fixture
def refused(clock: FakeClock) -> RefusedVersions:
    """One answer was, just now."""
    made = RefusedVersions(clock)
    made.note(KEY, held(), FLOOR)
    return made


def held(size: int = 1_000) -> Held:
    """An answer with a body of so many bytes."""
    return held_of(entry_of(updated_at=version(1), body=b"x" * size))


def test_it_stands_for_ten_seconds(refused: RefusedVersions, clock: FakeClock) -> None:
    """And no longer."""
    clock.advance(9.9)
    assert refused.of(KEY) is not None
    clock.advance(0.1)
    assert refused.of(KEY) is None


@pytest.mark.parametrize(
    "floor",
    [
        None,
        replace(FLOOR, epoch="other"),
        replace(FLOOR, generation=2),
        replace(FLOOR, updated_at=version(4)),
        replace(FLOOR, digest="0" * 32),
    ],
)
def test_another_floor_ends_it(refused: RefusedVersions, floor: Floor | None) -> None:
    """Something was learnt or ordered since, or may have been."""
    refused.judge(KEY, floor)

    assert refused.of(KEY) is None


def test_the_same_floor_does_not(refused: RefusedVersions) -> None:
    """Whenever it was confirmed."""
    refused.judge(KEY, replace(FLOOR, started=2000.0))

    assert refused.of(KEY) is not None


def test_bytes_are_bounded(refused: RefusedVersions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first, and one that is too large is not kept at all."""
    monkeypatch.setattr(local_versions, "_MOST_BYTES", 5 * refused._size)
    keys = [Key("p1", f"trn_{number}") for number in range(100)]
    for key in keys:
        refused.note(key, held(), FLOOR)

    assert [key for key in keys if refused.of(key) is not None] == keys[-5:]
    refused.note(KEY, held(20_000), FLOOR)
    assert refused.of(KEY) is None
    assert refused._size == 0


def test_what_is_over_takes_no_room(refused: RefusedVersions, clock: FakeClock) -> None:
    """The next one that comes clears it away."""
    clock.advance(10.0)
    refused.note(Key("p1", "trn_2"), held(), FLOOR)

    assert list(refused._refused) == [Key("p1", "trn_2")]
