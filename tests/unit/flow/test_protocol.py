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


def test_a_404_that_an_order_ruled_out_is_not_followed_by_an_older_version() -> None:
    """The fetch that gave it began behind one whose version was stored meanwhile."""
    history = Replicas()
    prelude = "queue 0, fetch 0, order 1, store 1, edit"
    history.start([0.0, 0.0], has_etags=False, has_lease=False, prelude=prelude)
    try:
        history.edit(is_gone=True)
        history.ask_everywhere(KEYS[0])
        history.let_redis_go(0, is_lost=False, holds=False)
        history.answer(0, is_lost=False)
        history.ask_everywhere(KEYS[0])
        history.nothing_was_wrong()
    finally:
        history.teardown()


def test_a_fetch_under_way_is_not_joined_after_a_later_version_that_redis_forgot() -> None:
    """An older fetch of the same replica, which an order ruled out, had brought the later one."""
    history = Replicas()
    prelude = "fetch 0, fetch 1"
    history.start([0.0, 0.0, 0.0], has_etags=False, has_lease=True, prelude=prelude)
    try:
        history.wait(6.0)
        history.invalidate(0, is_bound=False)
        history.ask_everywhere(KEYS[0])
        history.flush()
        history.deliver(1, 0, how="once")
        history.ask(2, KEYS[0], is_prompt=False)
        history.edit(is_gone=False)
        history.wait(6.0)
        history.flush()
        history.flush()
        history.answer(4, is_lost=False)
        history.invalidate(0, is_bound=False)
        history.ask_everywhere(KEYS[0])
        history.deliver(1, 0, how="once")
        history.nothing_was_wrong()
    finally:
        history.teardown()
