"""invalidate and purge as an operator types them, against one gateway without Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.system.commands import CALLER, Gateway, address, get, run, simulator

ID = "trn_000001"
CONFIRMED = "1 of 1 replicas confirmed\n"


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """The address of a simulator with ten trainings."""
    with simulator(tmp_path, "--trainings", "10") as process:
        yield address(process)


@pytest.fixture
def house(tmp_path: Path, upstream: str) -> Iterator[Gateway]:
    """A gateway that has answered with the training once."""
    house = Gateway(tmp_path, upstream)
    with house.process:
        assert training(house).status_code == 200
        yield house


def training(house: Gateway) -> httpx.Response:
    """What a caller is answered."""
    return get(f"{house.data}/training/{ID}")


def tell(upstream: str, what: str, **words: object) -> httpx.Response:
    """Order something of the simulator."""
    answer = httpx.post(f"{upstream}/_control/{what}", json=words, trust_env=False, timeout=30)
    return answer.raise_for_status()


def calls(upstream: str) -> int:
    """How often the simulator was asked for the training."""
    stats = httpx.get(f"{upstream}/_control/stats", trust_env=False, timeout=30).json()
    return int(stats["by_id"][ID])


def test_after_invalidate_the_next_answer_is_fetched(
    tmp_path: Path, upstream: str, house: Gateway
) -> None:
    """An edit that the cache hid is seen at once, by one call; the answer after that is a hit."""
    tell(upstream, "edit", id=ID, content="edited")
    hidden = training(house)
    asked = calls(upstream)

    told = run("invalidate", ID, "--admin", house.admin, folder=tmp_path)
    seen, again = training(house), training(house)

    assert told == (0, CONFIRMED)
    assert hidden.json()["content"] != "edited"
    assert seen.json()["content"] == "edited"
    assert "fwd=" in seen.headers["cache-status"]
    assert again.headers["cache-status"].startswith("gateway; hit")
    assert calls(upstream) == asked + 1


@pytest.mark.parametrize("mode", ["normal", "frozen"])
def test_what_was_purged_softly_calls_itself_stale(
    upstream: str, house: Gateway, tmp_path: Path, mode: str
) -> None:
    """In the answer, in the hit's place, in a 304 and to a `HEAD`: nothing says it is fresh."""
    tell(upstream, "fault", mode="status-500")
    tag = training(house).headers["etag"]
    run("purge", "--soft", "--admin", house.admin, folder=tmp_path)
    httpx.post(f"{house.admin}/mode", json={"mode": mode}, trust_env=False, timeout=30)

    with httpx.Client(headers=CALLER, trust_env=False, timeout=30) as caller:
        url = f"{house.data}/training/{ID}"
        answers = [caller.get(url), caller.get(url), caller.head(url)]
        answers.append(caller.get(url, headers={"If-None-Match": tag}))

    assert [answer.status_code for answer in answers] == [200, 200, 200, 304]
    assert {answer.headers["cache-control"] for answer in answers} == {"private, max-age=0"}
    assert not any("ttl=" in answer.headers["cache-status"] for answer in answers)


def test_a_purge_of_a_partition_that_is_not_there_says_so(tmp_path: Path, house: Gateway) -> None:
    """That of the caller is purged in silence; a name with a digit wrong is told."""
    explained = httpx.get(f"{house.admin}/explain/{ID}", trust_env=False, timeout=30).json()
    own = explained["partition"]
    order = ("purge", "--yes", "--admin", house.admin, "--partition")

    right = run(*order, own, folder=tmp_path)
    wrong = run(*order, f"{own[:-1]}{'0' if own[-1] != '0' else '1'}", folder=tmp_path)

    assert wrong[0] == 0
    assert "nothing is stored in this partition" in wrong[1]
    assert right == (0, CONFIRMED)
