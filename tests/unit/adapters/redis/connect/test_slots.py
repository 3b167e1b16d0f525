"""Slots: what a node tells of them, and words that belong to them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.redis.connect.cluster import (
    SLOTS,
    read_holders,
    region_of,
    regions,
    slot_of,
    tag_of,
    tags_of,
)

ASKED = ("asked", 7000)


def row(first: int, last: int, host: bytes | None, port: int) -> list[Any]:
    """As CLUSTER SLOTS has it, with a replica behind."""
    return [first, last, [host, port, b"id", []], [b"copy", port + 1, b"id2", []]]


def test_the_braces_decide() -> None:
    """And only they, where they hold anything; the figures are those of the specification."""
    assert slot_of("123456789") == 0x31C3
    assert slot_of("a:{123456789}:b") == slot_of("{123456789}")
    assert slot_of("{}a") != slot_of("{}b")


def test_each_slot_has_the_master_of_its_range() -> None:
    """Nobody where no range has it; a node without a name is the one that was asked."""
    reply = [
        row(0, 99, b"a", 1),
        row(100, 100, None, 2),
        row(101, 101, b"?", 3),
        row(200, 200, b"", 4),
    ]

    holders = read_holders(reply, ASKED)

    assert holders[0] == holders[99] == ("a", 1)
    assert holders[100:102] == [("asked", 2), ("asked", 3)]
    assert holders[200] == ("asked", 4)
    assert holders[102] is None
    assert holders[-1] is None
    assert len(holders) == SLOTS


@pytest.mark.parametrize("ends", [(-1, 5), (5, 4), (0, SLOTS)])
def test_a_slot_that_is_none_is_refused(ends: tuple[int, int]) -> None:
    """Whoever answers there may be no Redis of ours."""
    with pytest.raises(ValueError, match="slot"):
        read_holders([row(*ends, b"a", 1)], ASKED)


def test_each_holder_has_a_tag() -> None:
    """Also one with a single slot; in the order of their slots."""
    holders = read_holders([row(0, 16382, b"a", 1), row(16383, 16383, b"b", 2)], ASKED)

    first, second = tags_of(holders)

    assert holders[slot_of(f"x:{{{first}}}")] == ("a", 1)
    assert holders[slot_of(f"x:{{{second}}}")] == ("b", 2)
    assert tags_of([None] * SLOTS) == ()


def test_a_tag_belongs_to_its_slots() -> None:
    """To any of them, and braces keep it there."""
    assert slot_of(f"{{{tag_of(5_000, 5_000)}}}") == 5_000


def test_every_slot_has_a_region_near() -> None:
    """Each region's word stands among the slots that it is for."""
    assert len(set(regions())) == 64
    for slot in (0, 255, 256, SLOTS - 1):
        assert slot_of(f"{{{region_of(slot)}}}") // 256 == slot // 256
