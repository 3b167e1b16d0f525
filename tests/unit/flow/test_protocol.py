"""The replicas' protocol under any interleaving: a bounded search; the drills search for longer."""

from __future__ import annotations

from hypothesis import settings

from tests.unit.flow.protocol_machine import Replicas

TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(max_examples=40, stateful_step_count=30)
