"""What a load's own report and the system's accounting come to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.bench.load import LoadFailed, cpu_seconds, p99_of, run_of

SAID = """Running 3s test @ http://127.0.0.1:20000
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   812.04us  201.98us   9.01ms   91.99%
    Req/Sec    78.62k     2.91k   82.10k    80.65%
  Latency Distribution
     50%  790.00us
     75%    0.86ms
     90%    0.97ms
     99%    1.52ms
  240000 requests in 3.00s, 512.21MB read
{more}Requests/sec:  80000.00
Transfer/sec:    170.63MB
"""
REFUSED = "  Non-2xx or 3xx responses: {}\n"
BROKEN = "  Socket errors: connect 0, read 3, write 0, timeout 0\n"
# Uses a fifth of a second itself, lets a child use another, tells how much it was, and stays.
SPIN = """
import subprocess, sys, time
def spin():
    while time.process_time() < 0.2:
        pass
    print(time.process_time(), flush=True)
    sys.stdin.read()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], ""]) if sys.argv[1] else None
spin()
"""


def said(more: str = "") -> str:
    """A report of wrk's."""
    return SAID.format(more=more)


def test_cpu_is_for_each_request() -> None:
    """In microseconds, whatever the time that it took."""
    run = run_of(said(), 2.4, refused=False)

    assert run.cpu == pytest.approx(10.0)
    assert (run.rate, run.p50, run.p99) == (80_000.0, 0.79, 1.52)


def test_all_refusals_or_none() -> None:
    """A figure of other answers than were asked for would mean nothing."""
    every, some = said(REFUSED.format(240_000)), said(REFUSED.format(7))
    assert run_of(every, 2.4, refused=True).cpu == pytest.approx(10.0)

    for text, refused in ((every, False), (some, False), (some, True), (said(), True)):
        with pytest.raises(LoadFailed, match="of 240000 not as asked"):
            run_of(text, 2.4, refused=refused)


def test_a_broken_connection_is_no_figure() -> None:
    """But of the floor, which parses nothing."""
    with pytest.raises(LoadFailed, match="read 3"):
        run_of(said(BROKEN), 2.4, refused=False)

    assert run_of(said(BROKEN), 2.4, refused=None).cpu == pytest.approx(10.0)


def test_no_answer_is_no_figure() -> None:
    """Nothing is divided by it."""
    with pytest.raises(LoadFailed, match="no answer"):
        run_of(said().replace("240000", "0"), 2.4, refused=False)
    with pytest.raises(LoadFailed, match="Requests/sec"):
        run_of("10 requests in 3.00s", 2.4, refused=False)


def test_the_99th_percentile_is_of_the_good_answers() -> None:
    """In milliseconds, in whichever order they came."""
    log = [f"0\t200\t{1_000 * n}" for n in range(1_000, 0, -1)] + ["0\t503\t1"] * 50

    assert p99_of("\n".join(log)) == 991.0


def test_few_good_answers_have_no_percentile() -> None:
    """Errors are quick."""
    for log in ("", "\n".join(["0\t200\t5"] * 89 + ["0\t503\t1"] * 11)):
        with pytest.raises(LoadFailed, match="answers were 200"):
            p99_of(log)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_cpu_is_that_of_a_process_and_all_that_it_started() -> None:
    """To two ticks of the system's clock for each."""
    spin = [sys.executable, "-c", SPIN, SPIN]
    with subprocess.Popen(spin, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as made:
        assert made.stdout is not None
        told = [float(made.stdout.readline()) for _ in range(2)]

        used = cpu_seconds(made.pid)
        made.communicate()

    assert used == pytest.approx(sum(told), abs=0.05)
