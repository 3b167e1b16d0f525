"""Integration: the adapter against the simulator in each of its moods, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.adapters.upstream import HttpxUpstream
from gateway.core.errors import InvalidPayload, UpstreamTimeout, UpstreamUnreachable
from gateway.core.http.fields import Reply
from gateway.core.vocabulary import FailureReason, InvalidReason
from gateway.simulator import RunningSimulator, SimulatorClient, SimulatorConfig, running
from gateway.simulator.answers import ETagForm
from gateway.simulator.faults import FaultMode
from gateway.simulator.world import DEMO_TOKEN
from tests.doubles.loop_time import pass_time
from tests.integration.gateways import has_in_flight, until
from tests.unit.adapters.upstream.peers import request, upstream


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    """A simulator of three trainings that sends strong entity tags."""
    async with running(SimulatorConfig(trainings=3, etag=ETagForm.STRONG)) as simulator:
        yield simulator


@pytest.fixture
async def control(simulator: RunningSimulator) -> AsyncIterator[SimulatorClient]:
    """The simulator's controls."""
    async with SimulatorClient(simulator.base_url) as control:
        yield control


@pytest.fixture
async def adapter(simulator: RunningSimulator) -> AsyncIterator[HttpxUpstream]:
    """The adapter in front of it."""
    async with upstream(simulator.base_url, max_body=100_000) as adapter:
        yield adapter


@pytest.fixture
def training_id(simulator: RunningSimulator) -> str:
    """A training that exists."""
    return simulator.catalogue.newest_first()[0].id


async def _read(
    adapter: HttpxUpstream, training_id: str, *, etag: bytes | None = None, within: float = 30.0
) -> Reply:
    return await adapter.call(request(training_id, token=DEMO_TOKEN, within=within, etag=etag))


async def test_a_training_comes_and_is_confirmed(adapter: HttpxUpstream, training_id: str) -> None:
    """A 200 brings the body and a validator, which then brings a 304 without one."""
    first = await _read(adapter, training_id)
    second = await _read(adapter, training_id, etag=first.header(b"etag"))

    assert (first.status, second.status) == (200, 304)
    assert f'"{training_id}"'.encode() in first.body
    assert second.body == b""


async def test_the_cdns_cookie_stays_here(adapter: HttpxUpstream, training_id: str) -> None:
    """Set-Cookie is dropped, and what the CDN adds otherwise passes."""
    reply = await _read(adapter, training_id)

    assert reply.header(b"set-cookie") is None
    assert reply.header(b"cf-ray") is not None


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        *((FaultMode.STATUS_500, 500), (FaultMode.STATUS_503, 503), (FaultMode.STATUS_204, 204)),
        *((FaultMode.HTML_200, 200), (FaultMode.HTML_403, 403), (FaultMode.HTML_520, 520)),
        *((FaultMode.RATE_LIMITED, 429), (FaultMode.REDIRECT, 302), (FaultMode.GONE, 410)),
        *((FaultMode.UNAUTHORIZED, 401), (FaultMode.NOT_FOUND, 404), (FaultMode.WRONG_ID, 200)),
    ],
)
async def test_every_whole_answer_is_handed_on(
    adapter: HttpxUpstream,
    control: SimulatorClient,
    training_id: str,
    mode: FaultMode,
    status: int,
) -> None:
    """Judging is not the adapter's: whatever came whole is a reply, asked for once."""
    await control.fault(mode)

    reply = await _read(adapter, training_id)

    assert reply.status == status
    assert (await control.stats()).requests == 1


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (FaultMode.CUT_BODY, InvalidReason.TRUNCATED),
        (FaultMode.CUT_CHUNKED, InvalidReason.TRUNCATED),
        (FaultMode.TOO_LARGE, InvalidReason.TOO_LARGE),
        (FaultMode.TOO_LARGE_CHUNKED, InvalidReason.TOO_LARGE),
    ],
)
async def test_a_body_that_is_none(
    adapter: HttpxUpstream,
    control: SimulatorClient,
    training_id: str,
    mode: FaultMode,
    reason: InvalidReason,
) -> None:
    """A body cut short or too large is refused, and the next call is well."""
    await control.fault(mode, count=1)

    with pytest.raises(InvalidPayload) as caught:
        await _read(adapter, training_id)

    assert caught.value.invalid is reason
    assert (await _read(adapter, training_id)).status == 200


async def test_gzip_is_undone(
    adapter: HttpxUpstream, control: SimulatorClient, training_id: str
) -> None:
    """A compressed answer, which nobody asked for, has the same bytes in the end."""
    plain = await _read(adapter, training_id)
    await control.fault(FaultMode.GZIP)

    packed = await _read(adapter, training_id)

    assert packed.body == plain.body
    assert packed.header(b"content-encoding") is None


@pytest.mark.parametrize("mode", [FaultMode.HANG, FaultMode.DRIBBLE, FaultMode.HELD])
async def test_the_deadline_holds(
    adapter: HttpxUpstream, control: SimulatorClient, training_id: str, mode: FaultMode
) -> None:
    """An answer that hangs, dribbles or is held ends the call at its deadline."""
    await control.fault(mode, count=1)
    asked = asyncio.create_task(_read(adapter, training_id, within=60.0))
    await until(lambda: has_in_flight(control))
    await pass_time(60.0)

    with pytest.raises(UpstreamTimeout) as caught:
        await asked

    assert (caught.value.reason, caught.value.sent) == (FailureReason.READ_TIMEOUT, True)
    assert (await _read(adapter, training_id)).status == 200


async def test_a_reset_may_have_been_served(
    adapter: HttpxUpstream, control: SimulatorClient, training_id: str
) -> None:
    """A connection reset before the head is unreachable, the request having left."""
    await control.fault(FaultMode.RESET, count=1)

    with pytest.raises(UpstreamUnreachable) as caught:
        await _read(adapter, training_id)

    assert (caught.value.reason, caught.value.sent) == (FailureReason.RESET, True)
    assert (await control.stats()).requests == 1


async def test_the_check_spends_no_call(adapter: HttpxUpstream, control: SimulatorClient) -> None:
    """`reachable` connects without the API counting anything."""
    await adapter.reachable()

    assert (await control.stats()).requests == 0
