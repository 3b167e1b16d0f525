"""What a fetch brings: which of it left everything as it was."""

from __future__ import annotations

from gateway.core.http.response import Reply
from gateway.core.vocabulary import Purpose
from gateway.flow.fill.fetch_result import Filled, Passed, Want, fruitless
from tests.unit.flow.house import CALLER, KEY, Replica, ok, says


async def fetch(replica: Replica, reply: Reply) -> Filled | Passed:
    """Fetch the key, revalidating what is held."""
    replica.upstream.then(reply)
    return await replica.fetch(Want(KEY, CALLER, Purpose.REVALIDATION, replica.local.peek(KEY)))


async def test_what_leaves_the_stored_as_it_was_is_fruitless(alone: Replica) -> None:
    """An older version, or a 4xx that neither renews nor drops; nothing else."""
    fine = [await fetch(alone, reply) for reply in (ok(2), ok(2), says(403), says(401))]
    alone.clock.advance(10.0)  # for so long the 401 is remembered
    fine.append(await fetch(alone, ok(2)))
    vain = [await fetch(alone, reply) for reply in (ok(1), says(422))]

    assert [fruitless(each) for each in fine] == [None] * 5
    assert [error and error.status for error in map(fruitless, vain)] == [200, 422]
