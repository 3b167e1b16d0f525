"""sweeps: one for each tenant whose token the gateway has, and what is promised of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace

from gateway.core.access.caller import Caller
from gateway.core.budget.window_log import Rate
from gateway.core.sweep.belief import SweepStore
from gateway.flow.sweep.scheduler import Sweeps
from gateway.flow.sweep.sweep import Sweep
from tests.doubles.clock import FakeClock
from tests.doubles.observer import RecordingObserver
from tests.unit.flow.house import OURS, WINDOWS, says, settle
from tests.unit.flow.sweeping import PACE, Catalogue, Swept, of_list

OTHER = replace(OURS, tenant="other", partition="p2", scope="other", token="other-token")


class Stage:
    """The sweeps of a replica alone, on a clock that a test moves."""

    def __init__(self, why_none: str | None = None) -> None:
        self.clock = FakeClock(waiting=True)
        self.swept = Swept(self.clock, Catalogue("t1", "t2"))
        self.callers: Mapping[str, Caller] = {"default": OURS}
        self.reads = 1
        self.pace = PACE
        self.sweeps = Sweeps(
            self.swept.pages,
            lambda: self.callers,
            self._sweep_of,
            why_none=why_none,
        )

    def _sweep_of(self, _: str, caller: Caller) -> Sweep:
        return Sweep(
            self.swept.pages,
            caller,
            lambda: self.pace,
            lambda: self.reads,
            store=SweepStore.AUTO,
            warms=True,
        )

    @property
    def observer(self) -> RecordingObserver:
        """Who is told."""
        return self.swept.replica.observer

    async def pass_time(self, seconds: int) -> None:
        """Second by second; somebody reads in each."""
        for _ in range(seconds):
            self.reads += 1
            await settle()
            self.clock.advance(1.0)
        await settle()


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[Stage]:
    """The sweeps run inside."""
    tasks = [
        asyncio.create_task(stage.sweeps.run()),
        asyncio.create_task(stage.swept.replica.refresher.run()),
    ]
    try:
        yield stage
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_bound_is_stated_once_all_was_seen() -> None:
    """With its parts, and how old the oldest confirmation is. Until then the windows alone hold."""
    stage = Stage()
    stage.swept.catalogue.page_size = 1
    async with running(stage):
        await stage.pass_time(1)
        before = stage.sweeps.words()["default"]
        assert stage.observer.of("bound_stated") == []
        stage.swept.catalogue.page_size = 2
        await stage.pass_time(60)
        after = stage.sweeps.words()["default"]

    bound = PACE.bound(2).seconds
    assert (before["sweep"], before["parts"]) == ("warming", None)
    assert before["bound_seconds"] == WINDOWS.lifetime + WINDOWS.stale_while_revalidate
    assert (after["sweep"], after["trainings"], after["leads"]) == ("on", 2, True)
    assert (before["catalogue"], after["catalogue"]) == (None, 2)
    assert after["bound_seconds"] == bound
    assert 0.0 <= float(str(after["confirmed_seconds"])) <= bound
    assert stage.sweeps.confirmed_age() is not None
    assert stage.observer.of("bound_stated") == [("default", bound, 2)]


async def test_tenants_come_and_go() -> None:
    """A new one is swept, one that is gone is not, and another token begins anew."""
    async with running(Stage()) as stage:
        await stage.pass_time(3)
        stage.callers = {"other": OTHER}
        await stage.pass_time(3)
        assert list(stage.sweeps.words()) == ["other"]
        stage.callers = {"other": replace(OTHER, token="rotated")}
        await stage.pass_time(40)

    tokens = [call.token for call in stage.swept.replica.upstream.calls]
    assert list(dict.fromkeys(tokens)) == ["our-token", "other-token", "rotated"]


async def test_another_token_is_tried_at_once() -> None:
    """The list was refused to the one before; one call finds out whether it still is."""
    async with running(Stage()) as stage:
        _refuse_list_to(stage, OURS.token, "no-better")
        await stage.pass_time(30)
        assert _tokens_of_pages(stage) == [OURS.token]
        assert stage.sweeps.words()["default"]["sweep"] == "off"

        stage.callers = {"default": replace(OURS, token="no-better")}
        await stage.pass_time(30)
        assert _tokens_of_pages(stage) == [OURS.token, "no-better"]
        assert stage.sweeps.words()["default"]["sweep"] == "off"
        assert len(stage.observer.of("sweep_off")) == 2

        stage.callers = {"default": replace(OURS, token="renewed")}
        await stage.pass_time(60)
        words = stage.sweeps.words()["default"]

    assert (words["sweep"], words["why_off"]) == ("on", None)


def _refuse_list_to(stage: Stage, *tokens: str) -> None:
    catalogue = stage.swept.catalogue
    catalogue.instead = lambda call: says(401) if of_list(call) and call.token in tokens else None


def _tokens_of_pages(stage: Stage) -> list[str]:
    return [call.token for call in stage.swept.replica.upstream.calls if of_list(call)]


async def test_another_rate_is_another_pace() -> None:
    """From the next page on; the sweep does not begin anew."""
    async with running(Stage()) as stage:
        await stage.pass_time(60)
        before = len(stage.swept.catalogue.asked)
        stage.pace = replace(PACE, rate=Rate(120, 60.0), interval=1.0)
        await stage.pass_time(60)
        words = stage.sweeps.words()["default"]

    assert len(stage.swept.catalogue.asked) - before > 40
    assert (words["sweep"], words["parts"]) == ("on", asdict(stage.pace.bound(2)))


async def test_where_it_cannot_be_one_line_says_so() -> None:
    """With the bound that holds without it."""
    async with running(Stage("callers bring their own tokens")) as stage:
        await stage.pass_time(100)

    assert stage.observer.of("sweep_off") == [("", "callers bring their own tokens", None)]
    assert stage.observer.of("bound_stated") == [("", 330.0, None)]
    assert stage.swept.catalogue.asked == []
    assert (stage.sweeps.words(), stage.sweeps.confirmed_age()) == ({}, None)
