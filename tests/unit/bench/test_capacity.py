"""What the model says beyond one machine, on figures that are known."""

from __future__ import annotations

from tests.bench.capacity import Model, _worksheet
from tests.bench.replicas import Asked
from tests.bench.stored import Stored

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


def test_the_worksheet_answers_a_question() -> None:
    """20,000 trainings, 3,000 requests a second, five tenants: all that one has to buy."""
    stored = Stored(body=2_000.0, l1=3_700.0, redis=3_100.0)

    rows = [row for row in _worksheet(MODEL, stored) if row.startswith("| ")]

    assert [row.split(" | ")[-1] for row in rows[2:]] == [
        "5 × 20,000 × 3,148 = 315 MB |",
        "5 × 20,000 × 3,748 = 375 MB |",
        "445 MB |",
        "3,000 × 12.0 µs / 0.6 = 0.06, so 2 |",
        "20,000 / 100 / (100 × 0.5) = 4 |",
    ]


def test_what_is_idle_is_taken_off_and_never_below_nothing() -> None:
    """Two measurements of a second differ."""
    assert Asked(5.0, 50.0, 0.1).less(Asked(2.0, 60.0, 0.1)) == Asked(3.0, 0.0, 0.0)
