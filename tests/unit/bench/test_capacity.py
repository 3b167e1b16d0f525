"""What the model says beyond one machine, on figures that are known."""

from __future__ import annotations

from tests.bench.capacity import Model
from tests.bench.replicas import Asked

MODEL = Model(hit=12e-6, idle=Asked(10.0, 1_000.0, 0.001), each=Asked(0.5, 100.0, 0.00001))


def test_replicas_are_counted_by_the_cost_of_a_hit() -> None:
    """A core is used to six tenths, and one replica can always be lost."""
    assert MODEL.replicas(1_000_000) == 20
    assert MODEL.replicas(1_000_001) == 21
    assert MODEL.replicas(10) == 2


def test_redis_is_asked_by_each_replica_for_what_it_reads() -> None:
    """The idle part counts once a replica, not once a training."""
    assert MODEL.asked(3, 100) == Asked(3 * 60.0, 3 * 11_000.0, 3 * 0.002)


def test_one_redis_bears_what_a_core_of_it_bears() -> None:
    """So many replicas and no more."""
    most = MODEL.most_replicas(100)

    assert most == 300
    assert MODEL.asked(most, 100).core <= 0.6 < MODEL.asked(most + 1, 100).core


def test_what_is_idle_is_taken_off_and_never_below_nothing() -> None:
    """Two measurements of a second differ."""
    assert Asked(5.0, 50.0, 0.1).less(Asked(2.0, 60.0, 0.1)) == Asked(3.0, 0.0, 0.0)
