"""Each way in which the upstream fails: the status of the contract, or a marked stale answer."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from gateway.simulator import RunningSimulator, SimulatorClient
from gateway.simulator.faults import FaultMode
from tests.doubles.loop_time import pass_time
from tests.integration.gateways import TOKEN, Planes, gateway, has_in_flight, soon_stale, until

ONE, OTHER = "trn_000001", "trn_000002"
# How long the upstream may take where it answers nothing.
LATE = 9.0
ENDLESS = ("held", "dribble")
BROKEN = [
    ("wrong-id", "upstream-invalid"),
    ("missing-id", "upstream-invalid"),
    ("missing-updated-at", "upstream-invalid"),
    ("bad-updated-at", "upstream-invalid"),
    ("naive-updated-at", "upstream-invalid"),
    ("wrong-type", "upstream-invalid"),
    ("many-members", "upstream-invalid"),
    ("malformed-json", "upstream-invalid"),
    ("not-an-object", "upstream-invalid"),
    ("too-large", "upstream-invalid"),
    ("too-large-chunked", "upstream-invalid"),
    ("cut-body", "upstream-invalid"),
    ("cut-chunked", "upstream-invalid"),
    ("cut-no-length", "upstream-invalid"),
    ("html-200", "upstream-error"),
]
FAILING = [
    ("status-500", 502, "upstream-error"),
    ("status-502", 502, "upstream-error"),
    ("status-503", 502, "upstream-error"),
    ("status-201", 502, "upstream-error"),
    ("status-204", 502, "upstream-error"),
    ("redirect", 502, "upstream-error"),
    ("html-401", 502, "upstream-error"),
    ("html-403", 502, "upstream-error"),
    ("html-503", 502, "upstream-error"),
    ("html-520", 502, "upstream-error"),
    ("proxy-401", 502, "upstream-error"),
    ("proxy-403", 502, "upstream-error"),
    ("proxy-404", 502, "upstream-error"),
    ("reset", 502, "upstream-unreachable"),
    ("rate-limited", 503, "upstream-rate-limited"),
    ("held", 504, "upstream-timeout"),
    ("dribble", 504, "upstream-timeout"),
]
ALL = [(mode, 502, word) for mode, word in BROKEN] + FAILING
# What is no failure, or one that has a test of its own.
ELSEWHERE = {
    *("unauthorized", "forbidden", "not-found", "gone", "regress", "gzip", "old"),
    *("list-refused", "list-reformatted", "list-field-missing", "slow", "late", "hang"),
    *("list-rounded", "list-row-twice", "hang-up"),
}


def test_no_fault_of_the_simulator_is_left_out() -> None:
    """A new one says here how it is answered, or that this is asked elsewhere."""
    asked = {mode for mode, _, _ in ALL}

    assert asked | ELSEWHERE == set(FaultMode)
    assert asked.isdisjoint(ELSEWHERE)


@pytest.mark.parametrize(("mode", "status", "word"), ALL)
async def test_the_caller_gets_the_stored_response_or_the_problem(
    upstream: RunningSimulator, control: SimulatorClient, mode: str, status: int, word: str
) -> None:
    """The stored response is marked as stale, and comes at the deadline at the latest. Where none
    is stored, it is the problem that the contract names, and nothing of the answer is stored."""
    async with gateway(
        upstream.base_url,
        upstream__timeout=f"{LATE}s",
        freshness__soft_wait="60s",
        freshness__lifetime="100ms",
        freshness__stale_while_revalidate="0",
    ) as planes:
        good = await planes.get(ONE)
        await control.fault(mode)
        await asyncio.sleep(0.15)
        problem = await get_at_last(planes, control, OTHER, mode)
        stale = await get_at_last(planes, control, ONE, mode)

        assert problem.status_code == status
        assert problem.headers["content-type"] == "application/problem+json"
        assert problem.headers["cache-control"] == "no-store"
        assert problem.json()["type"] == f"urn:gateway:problem:{word}"
        assert problem.json()["request_id"] == problem.headers["x-request-id"]
        assert ("retry-after" in problem.headers) == (status == 503)
        assert TOKEN not in problem.text
        assert upstream.base_url not in problem.text
        assert (stale.status_code, stale.content) == (200, good.content)
        assert "detail=stale-" in stale.headers["cache-status"]
        assert "ttl=-" in stale.headers["cache-status"]
        if (mode, word) in BROKEN:
            assert await planes.metric("gateway_payload_rejected_total") == 2
        await control.clear_faults()
        if mode != "rate-limited":
            again = await planes.get(OTHER)
            assert again.content == await control.body(OTHER)
            assert "uri-miss" in again.headers["cache-status"]


async def get_at_last(
    planes: Planes, control: SimulatorClient, training_id: str, mode: str
) -> httpx.Response:
    """The answer; where none comes from upstream, once its time is over."""
    if mode not in ENDLESS:
        return await planes.get(training_id)
    asked = asyncio.create_task(planes.get(training_id))
    await until(lambda: has_in_flight(control))
    await pass_time(LATE)
    return await asked


@pytest.mark.parametrize("mode", ENDLESS)
async def test_the_soft_wait_ends_before_the_deadline(
    upstream: RunningSimulator, control: SimulatorClient, mode: str
) -> None:
    """Where a stale answer exists nobody waits for a slow upstream longer than the soft wait."""
    async with gateway(
        upstream.base_url,
        upstream__timeout="60s",
        freshness__lifetime="100ms",
        freshness__stale_while_revalidate="0",
        freshness__soft_wait="200ms",
    ) as planes:
        good = await planes.get(ONE)
        await control.fault(mode)
        await asyncio.sleep(0.15)
        stale = await planes.get(ONE)

        assert stale.content == good.content
        assert "detail=stale-refreshing" in stale.headers["cache-status"]
        assert await has_in_flight(control)
        await pass_time(60.0)  # what is under way need not be waited for


@pytest.mark.parametrize(
    "revision",
    ["question-answer", "early", "current", "metadata", "typeless", "new-channel", "odd-form"],
)
async def test_each_revision_is_served_byte_for_byte(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None, revision: str
) -> None:
    """The documented revisions of the schema are stored, and served as they came."""
    await control.revision(revision)
    async with gateway(upstream.base_url, shared) as planes:
        first, hit = await planes.get(ONE), await planes.get(ONE)

        assert first.content == hit.content == await control.body(ONE)
        assert "; hit" in hit.headers["cache-status"]
        drifted = await planes.metric("gateway_payload_drift_total")
        assert (drifted > 0) == (revision not in ("current", "odd-form"))


async def test_not_found_replaces_what_was_stored(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """A JSON 404 is passed, remembered shortly, counted, and never rescued by the old body."""
    async with gateway(
        upstream.base_url,
        shared,
        **soon_stale("100ms"),
        freshness__negative_lifetime="500ms",
    ) as planes:
        await planes.get(ONE)
        await control.delete(ONE)
        await asyncio.sleep(0.15)
        gone = await planes.get(ONE)

        assert gone.status_code == 404
        assert gone.json()["statusCode"] == 404
        await until(lambda: is_remembered(planes))
        assert await planes.metric('gateway_invalidations_total{cause="not_found"}') == 1
        await control.fault("status-500")
        await asyncio.sleep(0.55)
        assert (await planes.get(ONE)).status_code == 502


async def test_an_answer_that_is_stale_on_arrival_costs_one_call(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """It is served with its age until its lifetime has passed, and then asked for once again."""
    await control.fault("old")
    async with gateway(upstream.base_url, shared, freshness__lifetime="3s") as planes:
        answers = [await planes.get(ONE) for _ in range(20)]

        assert {answer.status_code for answer in answers} == {200}
        assert all(int(answer.headers["age"]) >= 100_000 for answer in answers)
        assert "hit; ttl=-" in answers[-1].headers["cache-status"]
        assert (await control.stats()).by_id[ONE] == 1
        await until(lambda: is_asked_again(planes, control))
        assert (await planes.get(ONE)).status_code == 200


async def is_asked_again(planes: Planes, control: SimulatorClient) -> bool:
    """Whether a read led to a second call."""
    await planes.get(ONE)
    return (await control.stats()).by_id[ONE] == 2


async def is_remembered(planes: Planes) -> bool:
    """Whether the 404 is answered unasked; it is a 404 in any case."""
    answer = await planes.get(ONE)
    assert answer.status_code == 404
    return "detail=negative" in answer.headers["cache-status"]


async def test_a_401_drops_all_that_the_credential_stored(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """In passthrough the API's 401 is passed on, and nothing of that credential is left."""
    async with gateway(upstream.base_url, shared, **soon_stale("100ms")) as planes:
        await planes.get(ONE)
        await planes.get("trn_000002")
        await control.revoke_key(TOKEN)
        await asyncio.sleep(0.15)

        assert (await planes.get(ONE)).status_code == 401
        assert (await planes.get("trn_000002")).status_code == 401
        assert (await planes.admin.get("/status")).json()["l1"]["entries"] == 0


async def test_a_403_drops_that_training_alone(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """The API's 403 is passed on and ends what was stored of that id, of no other."""
    async with gateway(upstream.base_url, shared, **soon_stale("100ms")) as planes:
        await planes.get(ONE)
        await planes.get("trn_000002")
        await control.fault("forbidden", ids=[ONE])
        await asyncio.sleep(0.15)
        assert (await planes.get(ONE)).status_code == 403

        await control.fault("status-500")
        assert (await planes.get(ONE)).status_code == 502
        assert (await planes.get("trn_000002")).status_code == 200


async def test_our_own_refused_token_is_rescued(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """In mode open a 401 is ours: upstream-refused without, a stale answer with a body."""
    async with gateway(
        upstream.base_url,
        shared,
        access__mode="open",
        upstream__token=TOKEN,
        **soon_stale("100ms"),
    ) as planes:
        good = await planes.get(ONE)
        await control.revoke_key(TOKEN)
        await asyncio.sleep(0.15)
        cold, stale = await planes.get("trn_000002"), await planes.get(ONE)

        assert cold.status_code == 502
        assert cold.json()["type"] == "urn:gateway:problem:upstream-refused"
        assert stale.content == good.content
        assert "authorization" not in stale.headers.get("vary", "").lower()
        assert "detail=stale-error" in stale.headers["cache-status"]


async def test_an_older_version_never_overwrites(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """An upstream that goes back behind a version is counted, and the later one is served."""
    async with gateway(upstream.base_url, shared, **soon_stale("100ms")) as planes:
        good = await planes.get(ONE)
        await control.fault("regress")
        await asyncio.sleep(0.15)
        answer = await planes.get(ONE)

        assert answer.content == good.content
        assert answer.headers["cache-status"].endswith("detail=not-stored-older-version")
        assert await planes.metric("gateway_version_regressions_total") == 1
