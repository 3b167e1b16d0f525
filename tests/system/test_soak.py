"""A soak of a quarter of a minute; the long ones are drills."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.soak.soaking import soak
from tests.soak.truth import Question, Truth
from tests.soak.world import WINDOWS

ONE = ("acme", "trn_000001")


@pytest.mark.timeout(300)
async def test_nothing_is_answered_that_must_not_be(tmp_path: Path) -> None:
    """Whatever fails meanwhile."""
    outcome = await soak(tmp_path, seconds=15.0, seed=1)

    assert outcome.wrong == []
    assert outcome.faults.total() >= 2
    assert outcome.seen["2xx"] > 50


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

    question = Question(ONE, "replica", 0, now, 2)
    truth.judge(question, httpx.Response(200, headers=headers, json={"content": content}), 0.1)

    assert any(told in wrong for wrong in truth.wrong), truth.wrong


def test_the_observer_sees_versions_go_back() -> None:
    """Of one caller at one replica."""
    now = time.monotonic()
    truth = Truth(WINDOWS)
    for _ in "ab":
        truth.publish(ONE, now)

    for number in (2, 1):
        question = Question(ONE, "replica", 0, now, 0)
        answer = httpx.Response(200, json={"content": f"acme trn_000001 {number}"})
        truth.judge(question, answer, 0.1)

    assert len(truth.wrong) == 1
    assert "version 1 after 2" in truth.wrong[0]
