"""The replicas' protocol under any interleaving: a bounded search; the drills search for longer."""

from __future__ import annotations

from hypothesis import settings

from tests.unit.flow.protocol_machine import Replicas
from tests.unit.flow.protocol_truth import KEYS

TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(max_examples=40, stateful_step_count=30)


def test_a_soft_purge_rescues_nothing_that_an_order_ruled_out() -> None:
    """The order names a version; the purge after it forgets that version, and only that."""
    history = Replicas()
    history.start([0.0, 0.0], has_etags=False, has_lease=False, prelude="store 0")
    try:
        history.edit(is_gone=False)
        history.invalidate(1, is_bound=True)
        history.purge(0, soft=True, partition=None)
        history.ask_everywhere(KEYS[0])
        for is_lost in (False, True):
            history.answer(0, is_lost=is_lost)
        history.nothing_was_wrong()
    finally:
        history.teardown()
