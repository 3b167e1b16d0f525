"""Which run is shown, and with what words."""

from __future__ import annotations

from tests.bench.load import Run
from tests.bench.record import in_a_line, middle_of
from tests.unit.bench.figures import results_of


def test_the_run_in_the_middle_is_shown_with_how_things_grow() -> None:
    """In the middle by what a hit costs beside nginx; the growth may be another run's."""
    runs = [
        results_of(gateway=[14.0], nginx=[14.0]),
        results_of(gateway=[9.0], nginx=[10.0]),
        results_of(gateway=[8.0], nginx=[20.0]),
    ]
    runs[0].growth = {"entries": {1_000: Run(10.0, 1.0, 1.0, 1.0)}}

    middle = middle_of(runs)

    assert middle.runs is runs[1].runs
    assert middle.growth == runs[0].growth
    assert middle_of(runs[1:]).growth == {}


def test_a_hit_is_shown_beside_the_others_in_a_line() -> None:
    """Medians, as the README's table has them."""
    run = results_of(gateway=[9.0, 11.0, 10.0], nginx=[14.0], varnish=[20.0])

    assert in_a_line(run) == "10.0 µs of CPU; nginx 14.0, Varnish 20.0"
