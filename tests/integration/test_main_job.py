"""The main job over real HTTP, with and without Redis."""

from __future__ import annotations

import asyncio

import httpx

from gateway.simulator import RunningSimulator, SimulatorClient
from tests.integration.gateways import TOKEN, Planes, gateway, has_in_flight, soon_stale, until

ONE = "trn_000001"


async def test_a_miss_then_a_hit(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """The first answer is the upstream's bytes, the second a hit with the same, for one call."""
    async with gateway(upstream.base_url, shared) as planes:
        first, second = await planes.get(ONE), await planes.get(ONE)

        assert first.headers["cache-status"] == "gateway; fwd=uri-miss; fwd-status=200; stored"
        assert second.headers["cache-status"].startswith("gateway; hit; ttl=")
        assert second.headers["cache-status"].endswith("detail=l1")
        assert first.content == second.content == await control.body(ONE)
        assert (await control.stats()).by_id == {ONE: 1}
        assert await planes.metric('gateway_requests_total{outcome="fresh"') == 1


async def test_an_edit_shows_after_the_lifetime(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """After edit and lifetime the new version is served, counted as an invalidation."""
    async with gateway(upstream.base_url, shared, **soon_stale("200ms")) as planes:
        old = await planes.get(ONE)
        await control.edit(ONE, "a new instruction")
        await asyncio.sleep(0.25)
        new = await planes.get(ONE)

        assert new.headers["cache-status"] == (
            "gateway; fwd=stale; fwd-status=200; stored; detail=changed"
        )
        assert new.json()["content"] == "a new instruction" != old.json()["content"]
        assert new.headers["training-updated-at"] > old.headers["training-updated-at"]
        assert await planes.metric('gateway_invalidations_total{cause="updated_at"}') == 1
        assert await planes.metric("gateway_freshness_lag_seconds_count") == 1


async def test_an_unchanged_training_is_renewed(
    upstream: RunningSimulator, shared: str | None
) -> None:
    """A revalidation that finds nothing new renews the entry and counts no invalidation."""
    async with gateway(upstream.base_url, shared, **soon_stale("1s")) as planes:
        await planes.get(ONE)
        await asyncio.sleep(1.05)
        renewed = await planes.get(ONE)

        assert renewed.headers["cache-status"].endswith("stored; detail=unchanged")
        await until(lambda: _is_hit(planes))
        assert await planes.metric("gateway_invalidations_total") == 0


async def test_stale_is_served_while_one_refresh_flies(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """Within stale-while-revalidate nobody waits, and many readers cause one refresh."""
    async with gateway(upstream.base_url, shared, freshness__lifetime="200ms") as planes:
        await planes.get(ONE)
        await asyncio.sleep(0.25)
        await control.fault("held")
        answers = await asyncio.gather(*(planes.get(ONE) for _ in range(20)))
        await until(lambda: has_in_flight(control))
        await control.clear_faults()
        await until(lambda: has_in_flight(control, 0))

        assert {answer.headers["cache-status"].split("detail=")[1] for answer in answers} == {
            "stale-refreshing"
        }
        assert (await control.stats()).by_id == {ONE: 2}


async def test_a_second_replica_answers_from_redis(
    upstream: RunningSimulator, control: SimulatorClient, redis_url: str
) -> None:
    """What one replica fetched another one has, byte for byte, for no further call."""
    async with (
        gateway(upstream.base_url, redis_url) as one,
        gateway(upstream.base_url, redis_url) as other,
    ):
        fetched, found = await one.get(ONE), await other.get(ONE)

        assert found.headers["cache-status"].endswith("detail=l2")
        assert found.content == fetched.content
        assert (await control.stats()).requests == 1


async def test_two_hundred_callers_make_one_call(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """One call answers all who ask for a cold id, and the first of them may leave."""
    await control.fault("held")
    async with gateway(
        upstream.base_url, shared, upstream__timeout="60s", upstream__rate_limit="unlimited"
    ) as planes:
        leaver = asyncio.create_task(planes.get(ONE))
        await until(lambda: has_in_flight(control))
        followers = [asyncio.create_task(planes.get(ONE)) for _ in range(199)]
        await until(lambda: planes.reads("gateway_collapsed_waiters", 199))
        leaver.cancel()
        await control.clear_faults()
        answers = await asyncio.gather(*followers)

        assert {answer.status_code for answer in answers} == {200}
        assert all("; collapsed" in answer.headers["cache-status"] for answer in answers)
        assert (await control.stats()).requests == 1


async def test_the_only_caller_may_leave(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """The call runs to its end for the next one who asks."""
    await control.fault("held")
    async with gateway(upstream.base_url, shared) as planes:
        leaver = asyncio.create_task(planes.get(ONE))
        await until(lambda: has_in_flight(control))
        leaver.cancel()
        await control.clear_faults()
        await until(lambda: planes.holds(1))

        assert (await planes.get(ONE)).headers["cache-status"].endswith("detail=l1")
        assert (await control.stats()).requests == 1


async def test_head_and_conditions_are_answered_from_the_entry(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """HEAD fills with a GET; a 304 carries what RFC 9110 wants and no body."""
    async with gateway(upstream.base_url, shared) as planes:
        head = await planes.data.head(f"/training/{ONE}")
        got = await planes.get(ONE)
        same = await planes.get(ONE, if_none_match=f'"other", W/{got.headers["etag"]}')

        assert head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"]
        assert same.status_code == 304
        assert {"etag", "cache-control", "vary", "date"} <= set(same.headers)
        requests = await control.requests()
        assert [request.method for request in requests] == ["GET"]


async def test_the_upstream_validators_are_used(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """Where the upstream gives an ETag, a 304 renews what is stored."""
    await control.answers(etag="strong")
    async with gateway(upstream.base_url, shared, **soon_stale("200ms")) as planes:
        first = await planes.get(ONE)
        await asyncio.sleep(0.25)
        renewed = await planes.get(ONE)

        assert renewed.headers["cache-status"] == (
            "gateway; fwd=stale; fwd-status=304; stored; detail=unchanged"
        )
        assert renewed.content == first.content
        assert renewed.headers["etag"] == first.headers["etag"]


async def test_credentials_do_not_share(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """Another organisation's key gets its own training, a refused one nothing stored."""
    await control.add_key("other-token", "other")
    async with gateway(upstream.base_url, shared) as planes:
        mine = await planes.get(ONE)
        theirs = await planes.get(ONE, authorization="Bearer other-token")
        refused = await planes.get(ONE, authorization="Bearer unknown-token")

        assert theirs.content == await control.body(ONE, org="other") != mine.content
        assert refused.status_code == 401
        assert refused.json()["statusCode"] == 401


async def test_nothing_is_asked_without_a_credential(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """A caller without a token is turned away at the door, whatever is stored."""
    async with gateway(upstream.base_url, shared) as planes:
        await planes.get(ONE)
        async with httpx.AsyncClient(base_url=planes.data.base_url, trust_env=False) as nobody:
            answer = await nobody.get(f"/training/{ONE}")

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"] == "urn:gateway:problem:credential-missing"
        assert (await control.stats()).requests == 1


async def test_the_budget_holds(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """Never more calls than the limit in a window; the rest hear when to come back."""
    await control.limit(10, 60.0)
    async with gateway(upstream.base_url, shared, upstream__rate_limit="10/minute") as planes:
        ids = [f"trn_{number:06d}" for number in range(1, 31)]
        answers = await asyncio.gather(*(planes.get(training_id) for training_id in ids))
        refused = [answer for answer in answers if answer.status_code != 200]

        assert {answer.status_code for answer in refused} == {503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert refused[0].json()["type"] == "urn:gateway:problem:budget-exhausted"
        stats = await control.stats()
        assert 1 <= stats.fullest_window[TOKEN] <= 10
        assert stats.rate_limited == 0


async def _is_hit(planes: Planes) -> bool:
    return (await planes.get(ONE)).headers["cache-status"].endswith("detail=l1")


async def test_who_wrote_a_training_reads_what_it_wrote(
    upstream: RunningSimulator, control: SimulatorClient, shared: str | None
) -> None:
    """By the `updated_at` that the write answered, of what is fresh in the cache; what is no
    version is refused, and one that is not there is told."""
    async with gateway(upstream.base_url, shared) as planes:
        await planes.get("trn_000001")
        edited = await control.edit("trn_000001", "what I wrote")
        wanted = str(edited["updated_at"])

        mine = await planes.get("trn_000001", Training_Min_Updated_At=wanted)
        again = await planes.get("trn_000001", Training_Min_Updated_At=wanted)
        later = await planes.get("trn_000001", Training_Min_Updated_At="2199-01-01T00:00:00Z")
        bad = await planes.get("trn_000001", Training_Min_Updated_At="yesterday")

    assert mine.json()["content"] == "what I wrote"
    assert mine.headers["training-updated-at"] == wanted
    assert "detail=l1" in again.headers["cache-status"]
    assert (later.status_code, later.headers["training-updated-at"]) == (412, wanted)
    assert later.json()["type"] == "urn:gateway:problem:version-not-reached"
    assert int(later.headers["retry-after"]) >= 1
    assert bad.status_code == 400
