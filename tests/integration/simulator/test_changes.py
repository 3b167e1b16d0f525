"""How trainings change: edits from outside, writes by the API, edits over time."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from gateway.simulator import SimulatorClient
from gateway.simulator.catalogue import Catalogue
from gateway.simulator.training import DraftInput, TrainingInput
from tests.doubles.loop_time import pass_time
from tests.integration.simulator.waiting import eventually


def test_updated_at_never_repeats_or_goes_back() -> None:
    """Changes at one instant of the clock, and after it was set back, are ordered all the same."""
    hours = iter([12, 12, 12, 9, 13])
    catalogue = Catalogue(
        "demo", size=3, seed=1, now=lambda: datetime(2026, 1, 5, next(hours), tzinfo=UTC)
    )

    stamps = [
        catalogue.edit("trn_000001").updated_at,
        catalogue.draft("trn_000001", DraftInput(content="x")).updated_at,
        catalogue.edit("trn_000002", "y").updated_at,
        catalogue.insert().updated_at,
        catalogue.write("trn_000003", TrainingInput(title="t", content="c")).updated_at,
    ]

    assert stamps == sorted(set(stamps))


def test_a_made_up_id_is_a_new_one() -> None:
    """Also if the next one of the sequence was inserted by name."""
    catalogue = Catalogue("demo", size=2, seed=1)
    named = catalogue.insert(training_id="trn_000003")

    made = catalogue.insert()

    assert made.id == "trn_000004"
    assert catalogue.get("trn_000003") == named


async def test_an_edit_is_a_new_version(api: httpx.AsyncClient, control: SimulatorClient) -> None:
    """New content, next version, later `updated_at`; the control side returns what the API says."""
    before = (await api.get("/training/trn_000001")).json()
    edited = await control.edit("trn_000001", "Now like this.")
    after = (await api.get("/training/trn_000001")).json()

    assert after == edited
    assert after["content"] == "Now like this."
    assert after["current_version"] == before["current_version"] + 1
    assert after["updated_at"] > before["updated_at"]


async def test_put_replaces_what_it_names(api: httpx.AsyncClient) -> None:
    """What the body names is new, the rest stays, `updated_at` moves."""
    before = (await api.get("/training/trn_000001")).json()
    answer = await api.put("/training/trn_000001", json={"content": "New."})

    after = answer.json()
    moved = {"content", "current_version", "published_at", "updated_at"}
    assert answer.status_code == 200
    assert {name for name in before if before[name] != after[name]} == moved


async def test_put_can_unpublish(api: httpx.AsyncClient) -> None:
    """As a draft the training has no current version; published again, it has the next."""
    before = (await api.get("/training/trn_000001")).json()
    draft = (await api.put("/training/trn_000001", json={"is_draft": True})).json()
    again = (await api.put("/training/trn_000001", json={"is_draft": False})).json()

    assert (draft["current_version"], draft["published_at"]) == (None, None)
    assert again["current_version"] == before["current_version"] + 1


async def test_a_draft_moves_updated_at_only(api: httpx.AsyncClient) -> None:
    """The published version stands while its draft is edited."""
    before = (await api.get("/training/trn_000001")).json()
    after = (await api.put("/training/trn_000001/draft", json={"content": "Soon."})).json()

    assert after["draft_content"] == "Soon."
    assert {name for name in before if before[name] != after[name]} == {
        "draft_content",
        "updated_at",
    }


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"title": 7}', b'{"restricted_to_channels": ["fax"]}', b"\xff"]
)
async def test_a_bad_write_is_refused(
    api: httpx.AsyncClient, control: SimulatorClient, body: bytes
) -> None:
    """400 in the error shape, and the training stays."""
    before = await control.body("trn_000001")
    answer = await api.put("/training/trn_000001", content=body)

    assert answer.status_code == 400
    assert answer.json()["statusCode"] == 400
    assert await control.body("trn_000001") == before


async def test_trainings_are_edited_over_time(
    api: httpx.AsyncClient, control: SimulatorClient
) -> None:
    """Told to, the simulator edits by itself until it is told to stop."""

    async def newest() -> str:
        items = (await api.get("/training", params={"limit": 100})).json()["items"]
        return max(str(item["updated_at"]) for item in items)

    before = await newest()
    await control.editing(0.005)

    async def has_moved() -> bool:
        return await newest() > before

    await eventually(has_moved)
    await control.editing(0)

    stopped = await newest()
    await pass_time(60)
    assert await newest() == stopped > before
