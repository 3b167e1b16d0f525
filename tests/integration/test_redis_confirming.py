"""RedisStore asked for floors alone: round trips, and what stands behind a floor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.adapters.redis.store import RedisStore
from gateway.core.cache.entry import Confirmation, Key
from tests.doubles.stored import entry_of
from tests.integration.test_redis_store import FLOOR, KEY, client, fill, observer, store

__all__ = ["client", "observer", "store"]  # the fixtures


async def test_confirmations_of_one_turn_are_one_round_trip(store: RedisStore, client: Any) -> None:
    """Whoever asks, and no body is among what is read."""
    keys = [Key("p1", f"trn_{number}") for number in range(50)]
    for key in keys:
        await fill(store, key)
    client.config_resetstat()

    many, one = await asyncio.gather(store.confirm(keys[1:]), store.confirm(keys[:1]))

    assert {**many, **one}.keys() == set(keys)
    assert None not in many.values()
    stats = client.info("commandstats")
    assert stats["cmdstat_mget"]["calls"] == 1
    assert "cmdstat_get" not in stats
    assert "cmdstat_evalsha" not in stats


async def test_a_thousand_keys_are_two_questions(store: RedisStore, client: Any) -> None:
    """So that each reply fits into the patience."""
    client.config_resetstat()

    standings = await store.confirm([Key("p1", f"trn_{number}") for number in range(1_000)])

    assert len(standings) == 1_000
    assert client.info("commandstats")["cmdstat_mget"]["calls"] == 2


@pytest.mark.parametrize("tail", [b"", b"\x01", b"\x02 of \x00 another", b"\x00" * 100])
async def test_what_stands_behind_a_floor_is_not_trusted(
    store: RedisStore, client: Any, tail: bytes
) -> None:
    """The floor holds, what another release wrote behind it stays, and the next store replaces."""
    await fill(store)
    record = client.get(FLOOR)[:128]
    client.set(FLOOR, record + tail, keepttl=True)

    ticket = await store.begin(KEY)
    standing = (await store.confirm([KEY]))[KEY]

    assert standing is not None
    assert standing.last() is None
    assert client.get(FLOOR) == record + tail
    entry = entry_of(ticket)
    await store.store(KEY, entry, 60.0)
    standing = (await store.confirm([KEY]))[KEY]
    assert standing is not None
    assert standing.last() == Confirmation.of(entry)


async def test_what_stands_behind_a_floor_goes_with_its_body(
    store: RedisStore, client: Any
) -> None:
    """A floor that knows no body any more is short again."""
    await fill(store)
    assert len(client.get(FLOOR)) > 128

    await store.drop(KEY)

    assert len(client.get(FLOOR)) == 128
