"""An upstream that goes back in time, or ahead of it: over real HTTP, with and without Redis."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from gateway.app.compose import windows_of
from gateway.settings import load
from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until
from tests.integration.replicas import hears

ONE = "trn_000001"
TRUE, OTHER = "the true one", "restored"
MOVES = {"back": timedelta(days=-1), "ahead": timedelta(days=365)}
REASONS = {"back": "older-version", "ahead": "future-version"}
ENOUGH = 2

# Stale at once, refreshed behind: callers never wait, and the back-off alone sets the pace.
BRIEF = {"freshness__lifetime": "100ms", "freshness__stale_while_revalidate": "1h"}


async def moved(control: SimulatorClient, by: timedelta) -> None:
    """The training has another content, from a day before now or a year after."""
    await control.edit(ONE, OTHER, updated_at=datetime.now(UTC) + by)
    await control.reset_stats()


async def asked(control: SimulatorClient) -> int:
    """How many calls the upstream answered since it moved."""
    return (await control.stats()).requests


def content(answer: httpx.Response) -> str:
    """Which of the two an answer brings."""
    assert answer.status_code == 200
    return str(answer.json()["content"])


async def test_a_version_that_went_back_is_believed_when_it_comes_again(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """Not before; and then every replica serves it, and goes on from there."""
    settings = {**BRIEF, "freshness__believe_after": "1s"}
    async with AsyncExitStack() as stack:
        replicas: list[Planes] = []
        for _ in range(1 if shared is None else 2):
            planes = await stack.enter_async_context(gateway(upstream.base_url, shared, **settings))
            replicas.append(planes)
        if shared is not None:
            await until(lambda: hears(replicas[0]))
            await until(lambda: hears(replicas[-1]))
        await control.edit(ONE, TRUE)
        assert {content(await planes.get(ONE)) for planes in replicas} == {TRUE}
        await moved(control, MOVES["back"])
        began = asyncio.get_running_loop().time()

        async def all_serve(wanted: str) -> bool:
            contents = {content(await planes.get(ONE)) for planes in replicas}
            if OTHER in contents:
                assert await asked(control) >= ENOUGH
                assert asyncio.get_running_loop().time() - began >= 1.0
            return contents == {wanted}

        await until(lambda: all_serve(OTHER), patience=30.0)
        lags = [await each.metric("gateway_freshness_lag_seconds_count") for each in replicas]
        assert sum(lags) == 0

        await control.edit(ONE, "since", updated_at=datetime.now(UTC) + MOVES["back"] / 2)
        await until(lambda: all_serve("since"), patience=30.0)


def test_the_setting_paces_the_asking_too() -> None:
    """What is doubted is asked again in time for it."""
    settings = load(None, {"GATEWAY_FRESHNESS__BELIEVE_AFTER": "5s"})

    assert windows_of(settings).believe_after == 5.0


@pytest.mark.parametrize("move", list(MOVES))
async def test_a_purge_believes_at_once(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None, move: str
) -> None:
    """A version that went back is stored then, one far ahead never is."""
    async with gateway(upstream.base_url, shared, **BRIEF) as planes:
        await control.edit(ONE, TRUE)
        await planes.get(ONE)
        await moved(control, MOVES[move])
        await until(lambda: refused(planes, move))

        await planes.admin.post("/purge", json={})
        answer = await planes.get(ONE)

        assert content(answer) == OTHER
        is_stored = answer.headers["cache-status"].endswith("; stored")
        assert is_stored is (move == "back")
        assert content(await planes.get(ONE)) == OTHER


async def refused(planes: Planes, move: str) -> bool:
    """Whether a refresh brought the moved version by now; the true one is served."""
    answer = await planes.get(ONE)
    assert content(answer) == TRUE
    return "stale-error" in answer.headers["cache-status"]


@pytest.mark.parametrize("move", list(MOVES))
async def test_what_a_caller_is_told(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None, move: str
) -> None:
    """The stored one, and why what came is not; regressions are counted."""
    settings = {"freshness__lifetime": "100ms", "freshness__stale_while_revalidate": "0"}
    async with gateway(upstream.base_url, shared, **settings) as planes:
        await control.edit(ONE, TRUE)
        await planes.get(ONE)
        await moved(control, MOVES[move])
        await asyncio.sleep(0.15)

        answer = await planes.get(ONE)

        assert content(answer) == TRUE
        assert answer.headers["cache-status"].endswith(f"detail=not-stored-{REASONS[move]}")
        regressions = await planes.metric("gateway_version_regressions_total")
        assert regressions == (1 if move == "back" else 0)


async def test_a_date_far_ahead_is_answered_where_nothing_is_stored(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """It is all there is; nobody keeps it."""
    async with gateway(upstream.base_url, shared) as planes:
        await moved(control, MOVES["ahead"])

        answers = [await planes.get(ONE) for _ in range(2)]

        assert {content(answer) for answer in answers} == {OTHER}
        assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
        told = {answer.headers["cache-status"].rpartition("detail=")[2] for answer in answers}
        assert told == {"not-stored-future-version"}
