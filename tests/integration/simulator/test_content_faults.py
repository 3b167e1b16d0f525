"""Faults of status, head and body, as a caller sees them on the wire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import httpx
import pytest

from gateway.simulator import SimulatorClient

ID = "trn_000003"
PATH = f"/training/{ID}"


async def test_rate_limited_names_its_delay(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """The fault's delay is what `Retry-After` says; nobody waits for it here."""
    await control.fault("rate-limited", delay=17)

    answer = await api.get(PATH)

    assert answer.headers["retry-after"] == "17"


SPOILT: dict[str, Callable[[dict[str, object], dict[str, object]], bool]] = {
    "wrong-id": lambda bad, good: bad == good | {"id": bad["id"]} and bad["id"] != good["id"],
    "missing-id": lambda bad, good: good == bad | {"id": good["id"]} and "id" not in bad,
    "missing-updated-at": lambda bad, good: good.keys() - bad.keys() == {"updated_at"},
    "bad-updated-at": lambda bad, good: bad == good | {"updated_at": "yesterday at noon"},
    "naive-updated-at": lambda bad, good: f"{bad['updated_at']}Z" == good["updated_at"],
    "wrong-type": lambda bad, good: bad == good | {"title": 7},
    "many-members": lambda bad, good: len(bad) == len(good) + 1_000 and bad["id"] == good["id"],
    "regress": lambda bad, good: _hour_between(bad, good) and bad["content"] != good["content"],
}


def _hour_between(old: dict[str, object], new: dict[str, object]) -> bool:
    moments = [datetime.fromisoformat(str(each["updated_at"])) for each in (old, new)]
    return moments[1] - moments[0] == timedelta(hours=1)


@pytest.mark.parametrize("mode", SPOILT)
async def test_a_spoilt_item_of_a_list(
    api: httpx.AsyncClient, control: SimulatorClient, mode: str
) -> None:
    """With ids named, only those items of a page are spoilt."""
    good = (await api.get("/training", params={"limit": 100})).json()["items"]
    await control.fault(mode, ids=[ID])

    bad = (await api.get("/training", params={"limit": 100})).json()["items"]

    differing = [index for index, item in enumerate(bad) if item != good[index]]
    assert len(differing) == 1
    assert good[differing[0]]["id"] == ID
    assert SPOILT[mode](bad[differing[0]], good[differing[0]])


async def test_too_large_as_told(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """The size is the order's."""
    await control.fault("too-large", size=5000)

    assert len((await api.get(PATH)).content) == 5000


async def test_gzip_though_nobody_asked(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """Compressed against `Accept-Encoding: identity`."""
    await control.fault("gzip")

    answer = await api.get(PATH, headers={"Accept-Encoding": "identity"})

    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == await control.body(ID)


async def items(api: httpx.AsyncClient) -> list[dict[str, object]]:
    """The rows of the first page."""
    found = (await api.get("/training", params={"limit": 5})).json()["items"]
    assert isinstance(found, list)
    return found


async def test_the_list_rounds_where_single_answers_do_not(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """One row has an `updated_at` of a millisecond later, and nothing else is wrong with it."""
    good = await items(api)
    wrong = str(good[1]["id"])
    single = (await api.get(f"/training/{wrong}")).content
    await control.fault("list-rounded", ids=[wrong])

    bad = await items(api)

    assert [bad[0], *bad[2:]] == [good[0], *good[2:]]
    assert bad[1] == good[1] | {"updated_at": bad[1]["updated_at"]}
    moments = [datetime.fromisoformat(str(each[1]["updated_at"])) for each in (good, bad)]
    assert moments[1] - moments[0] == timedelta(milliseconds=1)
    assert (await api.get(f"/training/{wrong}")).content == single


async def test_a_row_of_the_list_stands_twice(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """With two versions, and the row behind it is not there."""
    good = await items(api)
    await control.fault("list-row-twice", ids=[str(good[1]["id"])])

    bad = await items(api)

    assert [bad[0], bad[1], *bad[3:]] == [good[0], good[1], *good[3:]]
    assert bad[2] == good[1] | {"updated_at": bad[2]["updated_at"]}
    assert str(bad[2]["updated_at"]) > str(good[1]["updated_at"])


async def test_a_fault_keeps_to_its_ids(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """Other trainings and the list answer as ever."""
    await control.fault("status-500", ids=[ID])

    paths = (PATH, "/training/trn_000004", "/training")
    statuses = [(await api.get(path)).status_code for path in paths]

    assert statuses == [500, 200, 200]


async def test_a_fault_keeps_to_its_kind(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """Only writes fail, and what failed was not done."""
    await control.fault("status-503", on=["write"])

    statuses = [(await api.get(PATH)).status_code, (await api.delete(PATH)).status_code]

    assert statuses == [200, 503]
    assert await control.body(ID)


async def test_a_fault_holds_for_its_count(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """Two calls meet it, the third does not."""
    await control.fault("status-502", count=2)

    assert [(await api.get(PATH)).status_code for _ in range(3)] == [502, 502, 200]


async def test_the_newest_fault_wins(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """The later one hides the earlier until it is used up; clearing ends both."""
    await control.fault("status-500")
    await control.fault("gone", count=1)

    statuses = [(await api.get(PATH)).status_code for _ in range(2)]
    await control.clear_faults()

    assert [*statuses, (await api.get(PATH)).status_code] == [410, 500, 200]
