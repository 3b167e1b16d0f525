"""The sweep over real HTTP and a real Redis: one leader, and callers who notice nothing of it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial

import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import Planes, gateway, until
from tests.integration.sweeping import (
    OURS,
    calls_of,
    leader_of,
    state,
    sweepers,
    sweeps_ended,
)
from tests.support.servers import RedisServer

IDS = [f"trn_{number:06d}" for number in range(1, 51)]
# Nothing becomes stale meanwhile, however slow the machine is: what is renewed, pages renew.
HASTY = {
    "freshness__lifetime": "10m",
    "sweep__interval": "300ms",
    "l1__lifetime": "200ms",
    # On a busy machine, replies of Redis are later than 50 ms; then only the reserve is spent.
    "redis__timeout": "2s",
}


async def another_sweep(planes: Planes, count: int = 2) -> None:
    """Let so many more sweeps end, of which the last began after this; somebody reads."""
    before = await sweeps_ended(planes)

    async def ended() -> bool:
        await planes.get(IDS[-1])
        return await sweeps_ended(planes) >= before + count

    await until(ended)


async def test_what_the_list_confirms_is_never_asked_for_again(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """Fifty trainings grow younger by pages, again and again; each sweep makes one single call."""
    settings = OURS | HASTY | {"sweep__warm": "off"}
    async with gateway(upstream.base_url, shared, **settings) as planes:
        await asyncio.gather(*map(planes.get, IDS))
        await control.reset_stats()
        for _ in range(3):
            before = await _confirmed(planes)

            async def are_younger(before: list[datetime] = before) -> bool:
                after = await _confirmed(planes)
                return all(later > earlier for earlier, later in zip(before, after, strict=True))

            await until(are_younger)
        endpoints = (await control.stats()).by_endpoint

    # Five looks, and one in each sweep; a page on a busy machine can come a sweep late.
    assert endpoints.get("GET /training/{id}", 0) <= endpoints["GET /training"] + 10


async def _confirmed(planes: Planes) -> list[datetime]:
    """When the upstream last vouched for each; all are hits."""
    answers = await asyncio.gather(*map(planes.get, IDS))
    assert {answer.headers["cache-status"].split(";")[1] for answer in answers} == {" hit"}
    return [parsedate_to_datetime(answer.headers["date"]) for answer in answers]


async def test_an_edit_is_served_by_every_replica_after_the_next_page(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """On the first read, of what was never read again; the call was made before it."""
    async with sweepers(upstream.base_url, redis_url, 3, **HASTY) as all_planes:
        for planes in all_planes:
            await asyncio.gather(*map(planes.get, IDS))
        for round_number in range(3):
            ids = IDS[round_number * 5 : round_number * 5 + 5]
            for training_id in ids:
                await control.edit(training_id, f"edited {round_number}")
            await another_sweep(all_planes[0])
            for planes in all_planes:
                answers = await asyncio.gather(*map(planes.get, ids))
                contents = {answer.json()["content"] for answer in answers}
                assert contents == {f"edited {round_number}"}

    assert (await control.stats()).by_status.get("429", 0) == 0


async def test_one_replica_sweeps_for_all(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """And when it goes another goes on, with the same sweeps."""
    async with sweepers(upstream.base_url, redis_url, 2, **HASTY) as all_planes:
        await another_sweep(all_planes[0])
        leader = await leader_of(all_planes)
        other = all_planes[1 - leader]
        calls = [await planes.metric(SWEEPS) for planes in all_planes]
        assert calls[leader] > 0
        assert calls[1 - leader] == 0

        before = await sweeps_ended(other)
        all_planes[leader].stop.set()
        for _ in range(3):
            await other.get(IDS[0])
            await another_sweep(other, 1)
        assert await sweeps_ended(other) > before
        assert await leader_of([other]) == 0
    assert await calls_of(control)


SWEEPS = 'gateway_upstream_requests_total{purpose="sweep"'


async def test_a_refused_list_leaves_single_calls_as_they_were(
    upstream: RunningSimulator,
    control: SimulatorClient,
    shared: str | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One warning, and the bound that holds without it."""
    await control.fault("list-refused")
    async with gateway(upstream.base_url, shared, **OURS, **HASTY) as planes:

        async def is_off() -> bool:
            return (await state(planes)).get("sweep") == "off"

        await until(is_off)
        answers = [await planes.get(IDS[0]) for _ in range(3)]
        words = await state(planes)
        confirmed = await planes.metric("gateway_sweep_confirmed_seconds")
        ended = await planes.metric('gateway_sweeps_total{end="refused"')

    assert [answer.status_code for answer in answers] == [200] * 3
    assert words["bound_seconds"] == 900.0
    assert (confirmed, ended) == (0.0, 1.0)
    assert capfd.readouterr().out.count('"event":"sweep.off"') == 1
    assert (await calls_of(control))[0] == 1


async def _is_ready(planes: Planes) -> bool:
    return (await planes.data.get("/readyz")).status_code == 200


async def test_a_cold_start_is_filled_before_it_is_ready(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """By one sweep and the five calls that prove the list; then everybody is a hit."""
    warm = {"sweep__warm": "before-ready", "freshness__lifetime": "1m"}
    async with gateway(upstream.base_url, shared, **OURS, **warm) as planes:
        await until(partial(_is_ready, planes))
        endpoints = (await control.stats()).by_endpoint
        answers = await asyncio.gather(*map(planes.get, IDS))
        bodies = [await control.body(each) for each in IDS]
        after = (await control.stats()).by_endpoint

    assert endpoints["GET /training"] >= 1
    assert {answer.headers["cache-status"].split(";")[1] for answer in answers} == {" hit"}
    assert [answer.content for answer in answers] == bodies
    assert after["GET /training/{id}"] <= 7  # five looks, and one in each later sweep


async def test_a_replica_that_was_ready_stays_so_while_redis_is_away(
    upstream: RunningSimulator, own_redis: RedisServer
) -> None:
    """It cannot know then how far the sweep has come, and serves what it holds."""
    warm = {"sweep__warm": "before-ready", "redis__timeout": "50ms"}
    async with gateway(upstream.base_url, own_redis.url, **OURS, **warm) as planes:

        async def is_blind() -> bool:
            return await planes.metric("gateway_redis_up") == 0.0

        await until(partial(_is_ready, planes))
        own_redis.pause()
        try:
            await until(is_blind)
            await asyncio.sleep(2.0)  # longer than from one look at the sweep to the next
            assert await _is_ready(planes)
        finally:
            own_redis.resume()


@pytest.mark.parametrize(
    "form", ["odd-form", "list-reformatted", "list-field-missing", "list-rounded"]
)
async def test_items_of_another_form_are_never_served(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None, form: str
) -> None:
    """The list has other spaces, another order of fields, a field less, or another time. From the
    first response on, each has the bytes of a single answer; edits cost single calls."""
    if form == "odd-form":
        await control.revision(form)
    else:
        await control.fault(form, on=["list"])
    before = [await control.body(each) for each in IDS]
    served: set[bytes] = set()
    async with gateway(upstream.base_url, shared, **OURS, **HASTY) as planes:

        async def read(ids: list[str]) -> list[bytes]:
            bodies = [answer.content for answer in await asyncio.gather(*map(planes.get, ids))]
            served.update(bodies)
            return bodies

        await read(IDS)
        await another_sweep(planes)
        for each in IDS[:10]:
            await control.edit(each, "edited")
        after = [await control.body(each) for each in IDS]

        async def are_edits_served() -> bool:
            return await read(IDS[:10]) == after[:10]

        await until(are_edits_served)
        assert await read(IDS) == after
        words = await state(planes)

    assert words["list"] == "different"
    assert served == {*before, *after}


async def test_callers_who_ask_for_all_that_the_list_has_wait_for_one_page(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """The sweep looks at trainings for which callers wait, and the callers wait for the sweep."""
    patience = {"upstream__timeout": "60s"}
    async with gateway(upstream.base_url, shared, **OURS, **HASTY, **patience) as planes:
        async with asyncio.timeout(20.0):
            answers = await asyncio.gather(*map(planes.get, IDS))
        singles = (await calls_of(control))[1]

    assert {answer.status_code for answer in answers} == {200}
    assert singles <= 10


async def test_in_passthrough_the_list_is_read_with_a_callers_own_token(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """Once the API has accepted it: everything is stored for this token, and for no other."""
    settings = {"access__mode": "passthrough", "sweep__enabled": "auto", **HASTY}
    async with gateway(upstream.base_url, shared, **settings) as planes:
        await planes.get(IDS[0])
        await another_sweep(planes, 1)
        answers = await asyncio.gather(*map(planes.get, IDS))
        stranger = {"Authorization": "Bearer another-token"}
        refused = await planes.data.get(f"/training/{IDS[1]}", headers=stranger)
        words = await state(planes)

    assert {answer.headers["cache-status"].split(";")[1] for answer in answers} == {" hit"}
    assert words["list"] == "equal"
    assert refused.status_code == 401
    assert (await calls_of(control))[1] <= 12
