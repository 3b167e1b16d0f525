"""A soak of a quarter of a minute; the long ones are drills."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import httpx
import pytest

from tests.soak.faults import FAULTS, Planned, plan
from tests.soak.soaking import soak
from tests.soak.truth import Question, Truth
from tests.soak.world import WINDOWS

ONE = ("acme", "trn_000001")


@pytest.mark.timeout(900)
async def test_nothing_is_answered_that_must_not_be(tmp_path: Path) -> None:
    """Whatever fails meanwhile."""
    outcome = await soak(tmp_path, seconds=15.0, seed=1)

    assert outcome.wrong == [], outcome
    assert outcome.faults.total() >= 4
    assert outcome.seen["2xx"] > 50


def test_a_seed_has_one_plan() -> None:
    """Whatever else happens; each fault has its turn before one has its next."""
    first, second, other = ([_told(each) for each in islice(plan(n), 40)] for n in (7, 7, 8))

    assert first == second != other
    assert {name for name, *_ in first[: len(FAULTS)]} == set(FAULTS)


def _told(each: Planned) -> tuple[str, float, float]:
    return each.name, each.rest, each.chance.random()


CASES = {
    "another tenant's": ({}, "globex trn_000001 2", "is not the caller's"),
    "below an order": ({}, "acme trn_000001 1", "version 1 after order for 2"),
    "an untrue age": ({"age": "0"}, "acme trn_000001 2", "was none for"),
    "stale, unmarked": (
        {"age": "30", "cache-status": "gateway; hit; detail=l1"},
        "acme trn_000001 2",
        "does not say so",
    ),
    "too old": (
        {"age": "30", "cache-status": "gateway; hit; detail=stale-refreshing"},
        "acme trn_000001 2",
        "is too old, after 0.10 s",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_observer_sees_what_is_wrong(case: str) -> None:
    """Each kind of lie, by what was published and what the answer says of itself."""
    headers, content, told = CASES[case]
    now = time.monotonic()
    truth = Truth(WINDOWS)
    for ago in (60.0, 40.0, 20.0):
        truth.publish(ONE, now - ago)
    truth.rule_out(ONE, 2, now - 1.0)

    question = Question(ONE, "replica", 0, now, *truth.floors(ONE, now))
    truth.judge(question, httpx.Response(200, headers=headers, json={"content": content}), 0.1)

    assert any(told in wrong for wrong in truth.wrong), truth.wrong


def test_an_order_that_not_all_confirmed_holds_after_the_stated_time() -> None:
    """And does not undo one that all did."""
    truth = Truth(WINDOWS)
    truth.rule_out(ONE, 2, 10.0)
    truth.rule_out(ONE, 4, 20.0)
    truth.rule_out(ONE, 3, 15.0)

    floors = [truth.floors(ONE, now) for now in (9.0, 10.0, 15.0, 19.0, 20.0)]
    assert floors == [(0, 0), (2, 2), (3, 3), (3, 3), (4, 4)]


RESCUES = {
    "an error": ("gateway; hit; detail=stale-error", 0.1),
    "no budget": ("gateway; hit; detail=stale-shielded", 0.1),
    "waited in vain": ("gateway; hit; detail=stale-refreshing", 1.0),
}


@pytest.mark.parametrize(("status", "took"), RESCUES.values(), ids=RESCUES)
@pytest.mark.parametrize("lost_at", [None, 5.0, 15.0, 25.0])
def test_a_rescue_may_be_older_than_an_order_that_redis_lost_in_time(
    status: str, took: float, lost_at: float | None
) -> None:
    """If some did not confirm it. Other answers may not be."""
    truth = Truth(WINDOWS)
    for at in (0.0, 1.0):
        truth.publish(ONE, at)
    if lost_at == 5.0:
        truth.lose(lost_at)
    truth.rule_out(ONE, 2, 20.0, asked_at=10.0)
    if lost_at is not None and lost_at > 5.0:
        truth.lose(lost_at)

    for word, seconds in ((status, took), ("gateway; hit; detail=stale-refreshing", 0.1)):
        question = Question(ONE, "replica", 0, 30.0, *truth.floors(ONE, 30.0))
        headers = {"cache-status": word, "age": "30"}
        answer = httpx.Response(200, headers=headers, json={"content": "acme trn_000001 1"})
        truth.judge(question, answer, seconds)

    wrong = [each for each in truth.wrong if "after order" in each]
    assert len(wrong) == (1 if lost_at == 15.0 else 2)


def test_a_fetch_during_which_a_replica_stood_still_may_be_old() -> None:
    """What was stored before it may not."""
    now = time.monotonic()
    told = []
    for status in ("gateway; fwd=stale; fwd-status=200; stored", "gateway; hit; detail=l1"):
        truth = Truth(WINDOWS)
        truth.publish(ONE, now - 60.0)
        headers = {"age": "8", "cache-status": status}
        answer = httpx.Response(200, headers=headers, json={"content": "acme trn_000001 1"})
        truth.judge(Question(ONE, "replica", 0, now, 0, 0), answer, 0.1, stood=4.0)
        told.append(truth.wrong)

    fetched, kept = told
    assert fetched == []
    assert "does not say so" in kept[0]


def test_the_observer_sees_versions_go_back() -> None:
    """Of one caller at one replica."""
    now = time.monotonic()
    truth = Truth(WINDOWS)
    for _ in "ab":
        truth.publish(ONE, now)

    for number in (2, 1):
        question = Question(ONE, "replica", 0, now, 0, 0)
        answer = httpx.Response(200, json={"content": f"acme trn_000001 {number}"})
        truth.judge(question, answer, 0.1)

    assert len(truth.wrong) == 1
    assert "version 1 after 2" in truth.wrong[0]
