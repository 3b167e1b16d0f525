"""The upstream's own limit: counted exactly, refused in every documented and undocumented form."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

import httpx
import pytest

from gateway.simulator import SimulatorClient
from gateway.simulator.limiter import Limiter

PATH = "/training/trn_000001"


def test_any_window_holds_at_most_the_limit() -> None:
    """The window slides: a slot is free exactly one window after its call, not at a boundary."""
    limiter = Limiter(3, 60)

    accepted = [limiter.take("k", now) is None for now in (0, 50, 59, 59.5, 60, 60.5, 110)]

    assert accepted == [True, True, True, False, True, False, True]
    assert limiter.fullest_accepted() == {"k": 3}
    assert limiter.fullest_asked() == {"k": 5}


def test_a_refusal_tells_when_the_next_call_can_be() -> None:
    """The wait ends when the oldest call leaves the window, and refused calls cost nothing."""
    limiter = Limiter(1, 60)
    limiter.take("k", 10)

    waits = [limiter.take("k", 30), limiter.take("k", 69.5), limiter.take("k", 70)]

    assert waits == [40, 0.5, None]


def test_keys_have_limits_of_their_own() -> None:
    """One key's calls are no other's."""
    limiter = Limiter(1, 60)

    assert [limiter.take(key, 0) is None for key in ("a", "b", "a")] == [True, True, False]


def test_without_a_limit_calls_are_counted() -> None:
    """Nothing is refused, and the fullest window is known."""
    limiter = Limiter(None, 60)

    assert [limiter.take("k", now) for now in (0, 1, 61)] == [None] * 3
    assert limiter.fullest_accepted() == {"k": 2}


def test_counting_anew_keeps_the_window() -> None:
    """After a reset of the counts the calls of the last window still count in it."""
    limiter = Limiter(2, 60)
    limiter.take("k", 0)
    limiter.reset_fullest()
    limiter.take("k", 1)

    assert limiter.fullest_accepted() == {"k": 2}
    assert limiter.take("k", 2) is not None


async def test_every_call_costs_one(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """Successes, misses, bad requests, 304s and faults count alike; the next is 429."""
    await control.limit(6)
    await control.answers(etag="strong")
    await control.fault("status-500", ids=["trn_000002"])

    answers = [
        await api.get(PATH),
        await api.get(PATH, headers={"If-None-Match": "*"}),
        await api.get("/training/trn_999999"),
        await api.get("/training", params={"limit": 0}),
        await api.get("/training/trn_000002"),
        await api.get("/elsewhere"),
        await api.get(PATH),
    ]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 304, 404, 400, 500, 404, 429]
    assert answers[-1].json()["statusCode"] == 429
    stats = await control.stats()
    assert (stats.requests, stats.rate_limited) == (7, 1)
    assert stats.fullest_window == {"demo-token": 6}
    assert stats.fullest_window_asked == {"demo-token": 7}


async def test_the_default_is_a_hundred_a_minute(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """The hundred and first call within a minute is refused; orders are never."""
    statuses = [(await api.get(PATH)).status_code for _ in range(101)]

    assert statuses == [200] * 100 + [429]
    assert (await control.stats()).by_status == {"200": 100, "429": 1}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("seconds", {"retry-after": "60"}),
        (
            "ratelimit-field",
            {"ratelimit": '"default";r=0;t=60', "ratelimit-policy": '"default";q=1;w=60'},
        ),
        (
            "ratelimit-headers",
            {"ratelimit-limit": "1", "ratelimit-remaining": "0", "ratelimit-reset": "60"},
        ),
        (
            "x-ratelimit",
            {"x-ratelimit-limit": "1", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"},
        ),
        ("none", {}),
    ],
)
async def test_a_refusal_speaks_as_told(
    api: httpx.AsyncClient, control: SimulatorClient, mode: str, expected: dict[str, str]
) -> None:
    """Each way of saying when to come back, and no other beside it."""
    await control.limit(1, 60, mode)
    await api.get(PATH)
    refused = await api.get(PATH)

    said = {
        name: value
        for name, value in refused.headers.items()
        if name == "retry-after" or "ratelimit" in name
    }
    assert refused.status_code == 429
    assert said == expected


async def test_a_refusal_can_name_a_date(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """`Retry-After` as an HTTP date, a window ahead."""
    await control.limit(1, 60, "http-date")
    await api.get(PATH)
    refused = await api.get(PATH)

    ahead = parsedate_to_datetime(refused.headers["retry-after"]).timestamp() - time.time()
    assert 55 < ahead < 63


async def test_the_window_passes(
    api: httpx.AsyncClient, control: SimulatorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the wire too, a call is accepted again once its predecessor left the window."""
    await control.limit(1, 600)
    statuses = [(await api.get(PATH)).status_code for _ in range(2)]
    later = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + 600)
    monkeypatch.setattr("gateway.simulator.server.time", later)
    statuses += [(await api.get(PATH)).status_code for _ in range(2)]

    assert statuses == [200, 429, 200, 429]
