"""What a caller is told of its own rate, and how it is counted."""

from __future__ import annotations

import pytest

from gateway.core.access.caller import Client, Clients, Tenant, digest_of
from gateway.core.access.registry import Allowance
from gateway.core.budget.window_log import Rate
from gateway.core.vocabulary import Detail, Outcome, Problem
from gateway.web.request import client_result, rate_limit_fields
from tests.unit.web.planes import Data, problem_word, training_reply

KEY = {"authorization": "Bearer gw_web"}


def clients(rate: Rate | None) -> Clients:
    """One client with that rate."""
    web = Client("web", (digest_of("gw_web"),), "acme", rate)
    tenants = (Tenant("acme", "T-ACME", None),)
    return Clients.of("http://upstream.test", None, tenants, (web,))


@pytest.mark.parametrize(
    ("rate", "policy", "standing"),
    [
        (Rate(100, 60.0), b'"client";q=100;w=60', b'"client";r=99;t=1'),
        (Rate(10, 6.0), b'"client";q=10;w=6', b'"client";r=9;t=1'),
        (Rate(3, 0.5), b'"client";q=6;w=1', b'"client";r=5;t=1'),
        (Rate(1, 86_400.0), b'"client";q=1;w=86400', b'"client";r=0;t=86400'),
    ],
)
def test_the_fields_are_those_of_the_draft(rate: Rate, policy: bytes, standing: bytes) -> None:
    """Whole numbers, quota and window as one policy."""
    allowance = Allowance(rate)
    allowance.take(1000.0)

    fields = rate_limit_fields(allowance, 1000.0)

    assert fields == ((b"ratelimit-policy", policy), (b"ratelimit", standing))


async def test_a_caller_beyond_its_rate_is_told_when_to_come_back() -> None:
    """429, no call, and nobody else is held back."""
    data = Data(training_reply("a"), access=clients(Rate(2, 60.0)))

    answers = [await data.ask("/training/a", headers=KEY) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert problem_word(answers[2]) == "client-rate-limited"
    assert answers[2].headers["retry-after"] == "30"
    told = [answer.headers["ratelimit"] for answer in answers]
    assert told == ['"client";r=1;t=30', '"client";r=0;t=60', '"client";r=0;t=60']
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"client";q=2;w=60'}
    results = data.observer.of("client_result")
    assert results == [("web", "served"), ("web", "served"), ("web", "limited")]
    assert data.observer.of("requested")[2][0] is Outcome.REJECTED
    data.clock.advance(30.0)
    assert (await data.ask("/training/a", headers=KEY)).status_code == 200


async def test_a_caller_without_a_rate_is_told_nothing() -> None:
    """Nor is a stranger."""
    data = Data(training_reply("a"), access=clients(None))

    answers = [
        await data.ask("/training/a", headers=KEY),
        await data.ask("/training/a", headers={"authorization": "Bearer gw_other"}),
    ]

    assert [answer.status_code for answer in answers] == [200, 401]
    assert not [name for answer in answers for name in answer.headers if "ratelimit" in name]
    assert data.access_log.lines[0].client == "web"
    assert data.access_log.lines[1].client is None


def test_a_client_is_counted_in_one_of_three_ways() -> None:
    """An upstream's 429 or a problem of ours was no fault of the client's."""
    assert client_result(429, Problem.CLIENT_RATE_LIMITED) == "limited"
    assert client_result(401, None) == client_result(403, None) == "refused"
    assert client_result(200, Detail.L1) == client_result(503, Problem.BUDGET_EXHAUSTED) == "served"
