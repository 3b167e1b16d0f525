"""The names of what stands in Redis."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from gateway.adapters.redis.keys import Names
from gateway.adapters.redis.records import SCHEMA
from gateway.core.cache.entry import Key

KEY = Key("p1", "trn_1")


def test_names_share_the_slot_of_their_training() -> None:
    """What one script touches has the same hash tag; the body's name has the schema."""
    names = Names("gateway")

    assert names.body(KEY) == f"gateway:{{trn_1}}:b{SCHEMA}:p1"
    assert names.floor(KEY) == "gateway:{trn_1}:f:p1"
    assert names.event("trn_1") == "gateway:{trn_1}:i"
    assert len({key_slot(name.encode()) for name in names.judged(KEY)}) == 1


@pytest.mark.parametrize("key", [KEY, Key("a:f:b", "trn_1"), Key("ü{}", "a.b~c"), Key("x\n", "y")])
def test_a_floors_name_tells_its_key(key: Key) -> None:
    """Whatever the partition is called."""
    names = Names("gateway")

    assert names.key_of(names.floor(key).encode()) == key


@pytest.mark.parametrize("name", [b"", b"gateway:{x}:b2:p", b"other:{x}:f:p", b"gateway:x:f:p"])
def test_other_names_tell_none(name: bytes) -> None:
    """Bodies and foreign keys are no floors."""
    assert Names("gateway").key_of(name) is None


@pytest.mark.parametrize("prefix", ["", "a{b", "}"])
def test_a_prefix_that_would_break_the_hash_tag_is_refused(prefix: str) -> None:
    """Keys would be spread over the wrong nodes."""
    with pytest.raises(ValueError, match="prefix"):
        Names(prefix)
