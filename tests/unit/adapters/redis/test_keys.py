"""The names of what stands in Redis."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from gateway.adapters.redis.keys import Names
from gateway.core.cache.entry import Key

KEY = Key("p1", "trn_1")


def test_names_share_the_slot_of_their_training() -> None:
    """What one script touches has the same hash tag, and all names have the format."""
    names = Names("gateway")

    assert names.slot(KEY) == tuple(
        f"gateway:g2:{{trn_1}}:{each}" for each in ("m", "e:p1", "r:p1")
    )
    assert names.mark("trn_1") == names.slot(KEY)[0]
    assert names.shared_marks("p1") == ("gateway:g2:all", "gateway:g2:p:p1")
    assert len({key_slot(name.encode()) for name in names.slot(KEY)}) == 1


@pytest.mark.parametrize("prefix", ["", "a{b", "}"])
def test_a_prefix_that_would_break_the_hash_tag_is_refused(prefix: str) -> None:
    """Keys would be spread over the wrong nodes."""
    with pytest.raises(ValueError, match="prefix"):
        Names(prefix)
