"""What is held and what is missed, on figures that are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.background import Done
from tests.bench.cases import Results
from tests.bench.load import Run
from tests.bench.targets import Target, targets
from tests.unit.bench.figures import results_of


def line(results: Results, begin: str) -> Target:
    """The one target that begins so."""
    (found,) = (each for each in targets(results) if each.line.startswith(begin))
    return found


def test_what_is_at_its_bound_is_held() -> None:
    """Medians of all rounds are compared, so that one bad round decides nothing."""
    results = results_of(gateway=[8.5, 85.0, 8.5], nginx=[10.0, 1.0, 10.0], varnish=[17.0])

    assert line(results, "hit, headers repeated: ≤ 0.85 × nginx") == Target(
        "hit, headers repeated: ≤ 0.85 × nginx", "0.85 (8.5 against 10.0 µs)", True
    )
    assert line(results, "hit, headers repeated: ≤ 0.5 × varnish").held
    assert not line(results, "hit, headers repeated: ≤ 1.35 × floor").held  # 5 µs


def test_headers_that_change_have_bounds_of_their_own() -> None:
    """They may cost more."""
    results = results_of(gateway=[9.5], nginx=[10.0], varnish=[17.0])

    assert line(results, "hit, headers changing: ≤ 0.95 × nginx").held
    assert not line(results, "hit, headers changing: ≤ 0.55 × varnish").held
    assert not line(results, "hit, headers repeated: ≤ 0.85 × nginx").held


def test_the_form_of_nginx_that_costs_less_counts_in_each_line() -> None:
    """With `sendfile` for one, without it for the other."""
    results = results_of(gateway=[8.0], nginx=[10.0])
    results.runs["repeated"]["nginx-sendfile"] = [Run(9.0, 1.0, 1.0, 1.0)]
    results.runs["changing"]["nginx-sendfile"] = [Run(11.0, 1.0, 1.0, 1.0)]
    results.open[0.5]["nginx-sendfile"] = [1.9]

    assert line(results, "hit, headers repeated: ≤ 0.85 × nginx").found.startswith("0.89 ")
    assert line(results, "hit, headers changing: ≤ 0.95 × nginx").found.startswith("0.80 ")
    assert line(results, "p99").found == "2.00 against 1.90 ms"


@pytest.mark.parametrize(("cost", "held"), [(15.0, True), (15.1, False)])
def test_a_stale_hit_is_a_factor_dearer_than_a_fresh_one(cost: float, held: bool) -> None:
    """And no more."""
    results = results_of(gateway=[10.0])
    results.runs["stale"]["gateway"] = [Run(cost, 1.0, 1.0, 1.0)]

    assert line(results, "stale").held is held


def test_a_miss_has_a_bound_with_redis_and_without() -> None:
    """In milliseconds, by few callers and by many."""
    results = results_of(gateway=[10.0])
    results.runs["miss-64"]["gateway"] = [Run(601.0, 1.0, 1.0, 1.0)]
    results.runs["miss-redis-8"]["gateway"] = [Run(900.0, 1.0, 1.0, 1.0)]
    results.runs["miss-redis-64"]["gateway"] = [Run(901.0, 1.0, 1.0, 1.0)]

    held = {each.line: each.held for each in targets(results) if each.line.startswith("miss")}

    assert held == {
        "miss, no Redis, 8 callers: ≤ 0.6 ms": True,
        "miss, no Redis, 64 callers: ≤ 0.6 ms": False,
        "miss, with Redis, 8 callers: ≤ 0.9 ms": True,
        "miss, with Redis, 64 callers: ≤ 0.9 ms": False,
    }


def test_the_tail_is_nginxs_at_most() -> None:
    """At half of the slowest one's rate, not at a tenth."""
    results = results_of(gateway=[10.0])
    results.open[0.1] = {"gateway": [9.0], "nginx": [1.0], "varnish": [1.0]}
    assert line(results, "p99").held

    results.open[0.5]["gateway"] = [2.1, 2.1, 0.1]
    assert not line(results, "p99").held


def test_an_entry_is_its_body_and_a_kilobyte_and_as_accounted() -> None:
    """Either alone is not enough."""
    results = results_of(gateway=[10.0])
    bound = 1.5 * 1_024 + 1_024
    for seen, accounted, held in (
        (bound, bound / 1.09, True),
        (bound + 1, bound + 1, False),
        (bound, bound / 1.2, False),
    ):
        results.memory = {1_024: (seen, accounted, 0.0)}
        assert line(results, "an entry of 1024 bytes").held is held


def test_hits_while_everything_goes_on_are_compared_with_quiet_ones() -> None:
    """By the rounds' medians; the longest turn is that of any round."""
    results = results_of(gateway=[10.0])
    mixed = results.mixed
    assert line(results, "hits while everything").held

    tail = mixed.tails["gateway"][0]
    mixed.tails["gateway"] = [tail, *(replace(tail, p99=3.1, p999=10.1) for _ in range(2))]
    mixed.beside = [Done(longest_turn=1.0), Done(longest_turn=10.1), Done()]

    found = [each for each in targets(results) if each.line.startswith(("hits while", "the same"))]
    assert [each.held for each in found] == [False, False, False]
    assert found[0].found == "3.10 against 2.00 ms (nginx with its refreshes: 2.00)"
    assert found[2].found == "10.1 ms"


def test_another_checkout_is_compared_where_there_is_one() -> None:
    """A hit that is a twentieth dearer than there is no dearer than two runs of the same code."""
    results = results_of(gateway=[10.5])
    assert not any("beside" in each.line for each in targets(results))

    for kind in ("repeated", "changing", "conditional", "absent"):
        results.runs[kind]["beside"] = [Run(10.0, 1.0, 1.0, 1.0)]
    assert line(results, "hit, repeated: no dearer").held
    results.runs["repeated"]["beside"] = [Run(9.9, 1.0, 1.0, 1.0)]
    assert not line(results, "hit, repeated: no dearer").held
