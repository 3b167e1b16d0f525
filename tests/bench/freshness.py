"""The arithmetic of docs/freshness.md: its plot, and the check against a running gateway.

`python -m tests.bench.freshness` draws; `--check` measures three points first, in two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

from gateway.core.budget.window_log import Rate, counts_for
from gateway.core.sweep.staleness_bound import CALL, Pace, pages
from gateway.simulator import SimulatorConfig, running
from tests.integration.gateways import TOKEN, Planes, gateway, until

PLOT = Path(__file__).resolve().parents[2] / "docs" / "freshness.svg"
SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Point:
    """A catalogue under a limit, and how often the gateway is asked meanwhile."""

    trainings: int
    rate: Rate

    @property
    def pace(self) -> Pace:
        """With nothing else to wait for than the limit."""
        return Pace(self.rate, SHARE, 1.0, 3600.0, 0.0)


CHECKED = (
    Point(1_000, Rate(60, 60.0)),
    Point(3_000, Rate(100, 30.0)),
    Point(20_000, Rate(100, 6.0)),
)


def by_sweep(trainings: int, a_minute: float, edits: float = 0.0) -> float:
    """Seconds from an edit to the last answer without it: one look to the next, a page that was
    late, and the call. `edits` a minute are single calls that the sweep does not have, where it
    may not store what it lists."""
    left = max(a_minute * SHARE - edits, 1.0)
    return (pages(trainings) + 1) * counts_for(60.0) / left + CALL


def by_single_calls(trainings: int, a_minute: float) -> float:
    """The same where each training is asked about by itself, with all calls there are."""
    return trainings * counts_for(60.0) / a_minute + CALL


def draw() -> None:
    """The plot."""
    mpl.rcParams["svg.hashsalt"] = "freshness"
    sizes = [round(10 ** (step / 20)) for step in range(40, 101)]
    figure, axes = plt.subplots(figsize=(7.5, 4.6))
    for a_minute, colour in ((60, "tab:red"), (100, "tab:blue"), (1_000, "tab:green")):
        said = f"{a_minute} calls a minute"
        axes.plot(sizes, [by_sweep(n, a_minute) for n in sizes], color=colour, label=said)
        edited = [by_sweep(n, a_minute, edits=20) for n in sizes]
        axes.plot(sizes, edited, color=colour, linestyle=":")
        axes.plot(sizes, [by_single_calls(n, a_minute) for n in sizes], color=colour, ls="--")
    axes.set(
        xscale="log", yscale="log", xlabel="trainings", ylabel="seconds from an edit, at worst"
    )
    axes.set_title("sweep (line), with 20 edits a minute (dots), single calls alone (dashes)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(PLOT, metadata={"Date": None})


async def measure(point: Point) -> float:
    """The oldest confirmation that the gateway ever shows in two whole sweeps."""
    rate, worst = point.rate, 0.0
    settings = {
        "access__mode": "open",
        "upstream__token": TOKEN,
        "upstream__rate_limit": f"{rate.limit}/{rate.window:g}s",
        "sweep__enabled": "true",
        "sweep__share": f"{SHARE}",
        "sweep__interval": "1s",
        "freshness__lifetime": "1h",
    }
    config = SimulatorConfig(trainings=point.trainings, limit=rate.limit, window=rate.window)
    async with running(config) as upstream, gateway(upstream.base_url, None, **settings) as planes:
        await until(lambda: _has_swept(planes, 2), 600.0)
        for _ in range(round(2 * rate.window) + 2):  # what the cold start spent is forgotten
            await planes.get("trn_000001")
            await asyncio.sleep(0.6)
        began = await _sweeps(planes)
        while await _sweeps(planes) < began + 3:
            await planes.get("trn_000001")
            worst = max(worst, await planes.metric("gateway_sweep_confirmed_seconds"))
            await asyncio.sleep(0.1)
    return worst


async def _sweeps(planes: Planes) -> int:
    said = (await planes.admin.get("/status")).json()["freshness"]["tenants"]
    return int(said.get("default", {}).get("sweeps", 0))


async def _has_swept(planes: Planes, count: int) -> bool:
    await planes.get("trn_000001")
    return await _sweeps(planes) >= count


async def check() -> None:
    """Each point: what the arithmetic says, and what was seen."""
    print("trainings  limit       interval  bound    oldest confirmation seen")  # noqa: T201
    for point in CHECKED:
        bound = point.pace.bound(point.trainings)
        seen = await measure(point)
        limit = f"{point.rate.limit}/{point.rate.window:g}s"
        row = f"{point.trainings:9d}  {limit:10s}  {bound.interval:6.1f} s  {bound.seconds:5.1f} s"
        print(f"{row}  {seen:5.1f} s")  # noqa: T201
        assert seen <= bound.seconds, "the arithmetic is wrong, or the machine too busy"


def main() -> None:
    """Draw, after checking if told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="measure three points first")
    if parser.parse_args().check:
        os.environ.setdefault("GATEWAY_LOG__LEVEL", "error")
        asyncio.run(check())
    pace = Pace(Rate(60, 60.0), SHARE, None, 10.0, 0.0)
    assert math.isclose(by_sweep(1_000, 60), pace.bound(1_000).seconds)
    draw()


if __name__ == "__main__":
    main()
